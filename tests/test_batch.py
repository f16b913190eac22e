"""`inr batch` and train.encode_many: files, records, tables, packed fits, Ray."""

import csv
import os
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pyarrow.parquet
import pytest
from batches import STEPS, Run, batch_of, files, lines, write_sources
from conftest import Outcome

import train
import train.batch.local as local
import train.batch.many as many
import train.encode.side_by_side as side_by_side
from inr.errors import InrError, UsageError
from inr.video import Video
from train.batch.folder import BatchFolder
from train.batch.work import run_task
from train.fit.loop import run_loop


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, clip: Video) -> Path:
    return write_sources(tmp_path_factory.mktemp("sources"), clip)


@pytest.fixture(scope="session")
def finished(sources: Path, tmp_path_factory: pytest.TempPathFactory, inr: Run) -> tuple[Path, Outcome]:
    """The folder of a finished batch of all sources, and the outcome of its command."""
    folder = tmp_path_factory.mktemp("batch") / "out"
    return folder, inr("batch", "run", sources / "jobs.csv", "-o", folder, "--preset", STEPS, "--workers", 1, "--json")


# A whole batch


def test_a_batch_leaves_files_records_and_tables(finished: tuple[Path, Outcome], sources: Path):
    folder, outcome = finished
    assert outcome.code == 0, outcome.err
    *items, result = lines(outcome)
    assert (result["done"], result["failed"], result["begun"], result["waiting"]) == (3, 1, 0, 0)
    assert result["failures_by_id"] == {"unreadable-image": 1}
    assert {line["name"]: line["failed"] for line in items if line["type"] == "item"} == {
        "p0": False, "broken": True, "p5": False, "square": False,
    }  # fmt: skip
    with (folder / "results.csv").open() as table:
        rows = {row["name"]: row for row in csv.DictReader(table)}
    assert rows.keys() == {"p0", "p5", "square"}
    for row in rows.values():
        assert (folder / row["output"]).stat().st_size == int(row["bytes"])
        assert (row["option_preset"], row["steps"], row["target_hit"]) == (str(STEPS), str(STEPS), "True")
    assert float(rows["square"]["bpp"]) <= float(rows["square"]["option_target_bpp"]) == 1.5
    columns = pyarrow.parquet.read_table(folder / "results.parquet").to_pydict()
    assert columns["name"] == [row["name"] for row in rows.values()]
    assert columns["psnr_rgb"] == [float(row["psnr_rgb"]) for row in rows.values()]
    with (folder / "failures.csv").open() as table:
        (failure,) = csv.DictReader(table)
    assert (failure["name"], failure["id"], failure["exit_code"]) == ("broken", "unreadable-image", "3")
    assert not list(folder.glob("items/*/*.work"))
    assert "finished" in next(folder.glob("items/p0-*/log.txt")).read_text()


def test_a_file_is_that_of_an_encode_by_itself(finished: tuple[Path, Outcome], sources: Path, tmp_path: Path):
    found = files(finished[0])
    for name, options in (("p0.png", {}), ("square.mkv", {"target_bpp": 1.5, "model": "cam"})):
        target = tmp_path / f"{Path(name).stem}.inr"
        train.encode_file(sources / name, target, preset=str(STEPS), **options)
        assert target.read_bytes() == found[target.name]


def test_the_same_command_does_only_what_is_missing(finished: tuple[Path, Outcome], sources: Path, inr: Run):
    folder, before = finished[0], files(finished[0])
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("items/*/*.inr")}
    lost = next(path for path in stamps if path.name == "p5.inr")
    lost.unlink()
    again = inr("batch", "run", sources / "jobs.csv", "-o", folder, "--preset", STEPS, "--workers", 1, "--json", "--strict")
    assert again.code == 6  # one item has failed
    assert [line["name"] for line in lines(again) if line["type"] == "item"] == ["p5"]
    assert files(folder) == before
    assert {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == {lost}


def test_status_and_collect_read_the_records(finished: tuple[Path, Outcome], inr: Run, tmp_path: Path):
    folder = finished[0]
    (folder / "results.csv").unlink()
    assert lines(inr("batch", "collect", folder, "--json"))[-1]["written"][0] == str(folder / "results.csv")
    assert (folder / "results.csv").is_file()
    status = lines(inr("batch", "status", folder, "--json"))[-1]
    assert (status["items"], status["done"], status["failed"]) == (4, 3, 1)
    assert "3 of 4 items done" in inr("batch", "status", folder).out
    for verb in ("status", "collect", "retry"):
        assert inr("batch", verb, tmp_path).code == 3


def test_a_failed_item_is_tried_again_only_on_request(sources: Path, tmp_path: Path, inr: Run):
    batch = batch_of(tmp_path / "out", sources / "p0.png")
    home = batch.folder.of(batch.items[0])
    home.fail(InrError("no-luck", "it failed"))
    assert list(many.run_batch(batch, many.BatchOptions())) == []
    assert lines(inr("batch", "retry", tmp_path / "out", "--only", "other", "--json"))[-1]["fix"] == "no-luck"
    assert lines(inr("batch", "retry", tmp_path / "out", "--workers", 1, "--json"))[-1]["done"] == 1
    assert home.failure() is None


def test_python_yields_outcomes(finished: tuple[Path, Outcome], sources: Path, tmp_path: Path):
    mixed = [sources / "broken.png", {"source": sources / "p0.png", "name": "first"}, {"source": str(sources / "p0.png"), "name": "first"}]
    outcomes = {outcome.item.name: outcome for outcome in train.encode_many(mixed, tmp_path, preset=str(STEPS), workers=1)}
    assert outcomes.keys() == {"broken", "first"}  # equal rows are one item
    assert outcomes["broken"].failed
    assert outcomes["first"].record["psnr_rgb"] > 15
    assert files(tmp_path)["first.inr"] == files(finished[0])["p0.inr"]
    with pytest.raises(UsageError, match="no option 'colour'"):
        train.encode_many(mixed, tmp_path, colour="red")
    with pytest.raises(UsageError, match="no backend 'slurm'"):
        train.encode_many(mixed, tmp_path, backend="slurm")


def test_the_tables_are_those_of_the_latest_manifest(sources: Path, tmp_path: Path):
    """A changed source is another item: the row of the file before goes, the file stays."""
    source = tmp_path / "a.png"
    rows = []
    for content in (b"no picture", (sources / "p0.png").read_bytes(), (sources / "p5.png").read_bytes()):
        source.write_bytes(content)
        for _ in train.encode_many(source, tmp_path / "out", preset=STEPS, workers=1):
            pass
        rows.append([len((tmp_path / "out" / name).read_text().splitlines()) - 1 for name in ("results.csv", "failures.csv")])
    assert rows == [[0, 1], [1, 0], [1, 0]]
    assert len(files(tmp_path / "out")) == 1
    assert len(list((tmp_path / "out").rglob("a.inr"))) == 2


def test_warnings_and_missed_targets_are_in_the_record(tmp_path: Path, inr: Run):
    noise = np.random.default_rng(0).integers(0, 65536, (24, 32), dtype=np.uint16)
    iio.imwrite(tmp_path / "deep.png", noise)
    command = ("batch", "run", tmp_path / "deep.png", "-o", tmp_path / "out", "-p", STEPS, "--target-psnr", 50, "--workers", 1, "--strict")
    first, again = inr(*command), inr(*command, "--json")
    assert first.code == again.code == 6
    assert "target missed" in first.err
    assert first.err.count("warning: deep: 'deep.png' has 16 bits a sample") == 1
    with (tmp_path / "out" / "results.csv").open() as table:
        (row,) = csv.DictReader(table)
    assert (row["target_hit"], "16 bits" in row["warnings"]) == ("False", True)
    assert lines(again)[-1]["targets_missed"] == 1


# Packed fits


def test_packed_items_are_those_of_one_size_and_options(sources: Path, tmp_path: Path):
    paths = [sources / name for name in ("p0.png", "square.mkv", "p5.png", "broken.png")]
    batch = batch_of(tmp_path, *paths)
    names = [[item.name for item in task] for task in many.tasks_of(batch.items, many.BatchOptions(pack=4))]
    assert names == [["p0", "p5"], ["square"], ["broken"]]
    alone = [["p0"], ["square"], ["p5"], ["broken"]]
    assert [[item.name for item in task] for task in many.tasks_of(batch.items, many.BatchOptions())] == alone  # no accelerator


def test_packed_fits_that_are_interrupted_give_the_same_files(
    finished: tuple[Path, Outcome], sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A kill may come between two saved states, or between two finished files."""
    task = tuple(batch_of(tmp_path / "whole", sources / "p0.png", sources / "p5.png").items)
    run_task(task, tmp_path / "whole", lambda key, share: None)
    whole = files(tmp_path / "whole")
    expected = files(finished[0])
    for name, data in whole.items():  # the stated tolerance
        assert len(data) == pytest.approx(len(expected[name]), rel=0.05, abs=16)

    def killed_after(count: int, kind: type, method: str) -> None:
        original, calls = getattr(kind, method), []

        def replacement(*arguments, **keywords):
            calls.append(0)
            if len(calls) > count:
                raise KeyboardInterrupt  # not an error of the item: nothing is recorded
            return original(*arguments, **keywords)

        with monkeypatch.context() as patch:
            patch.setattr(kind, method, replacement)
            with pytest.raises(KeyboardInterrupt):
                run_task(task, tmp_path / "killed", lambda key, share: None)

    monkeypatch.setattr(side_by_side, "run_loop", partial(run_loop, save_seconds=0))
    killed_after(3, side_by_side.Workdir, "save")  # both saved a state, and one of them the next state
    killed_after(1, side_by_side.Run, "finished")  # one file is finished
    assert len(files(tmp_path / "killed")) == 1
    run_task(task, tmp_path / "killed", lambda key, share: None)
    assert files(tmp_path / "killed") == whole
    assert all(BatchFolder(tmp_path / "killed").of(item).result() for item in task)


# Ray


def test_ray_runs_a_batch(finished: tuple[Path, Outcome], sources: Path, tmp_path: Path, inr_process: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by default, its workers would wait for the other tests
    outcome = inr_process(
        "train", "batch", "run", sources / "jobs.csv", "-o", tmp_path / "out", "--preset", STEPS, "--backend", "ray", "--json",
        "--cpus", os.cpu_count(), cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    result = lines(outcome)[-1]
    assert (result["done"], result["failed"]) == (3, 1)
    assert files(tmp_path / "out") == files(finished[0])


def test_without_ray_the_command_says_what_to_install(sources: Path, tmp_path: Path, inr: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.batch.on_ray.find_spec", lambda name: None)
    outcome = inr("batch", "run", sources / "jobs.csv", "-o", tmp_path / "out", "--backend", "ray", "--json")
    assert outcome.code == 2
    assert "inr-codec[ray]" in lines(outcome)[-1]["fix"]


def test_flags_of_a_batch_are_checked(sources: Path, tmp_path: Path, inr: Run):
    (tmp_path / "file").touch()
    for flags in (["--shard", "2/2"], ["--pack", "0"], ["--workers", "0"], ["--retries", "-1"], ["--backend", "slurm"], ["-q", "500"]):
        assert inr("batch", "run", sources / "jobs.csv", "-o", tmp_path / "out", *flags).code == 2
    assert inr("batch", "run", sources / "jobs.csv", "-o", tmp_path / "file").code == 2
    assert not (tmp_path / "out").exists()


def test_shards_divide_the_tasks(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "START", "import os, sys; print('{}', flush=True); sys.stdin.readline(); os._exit(7)")
    paths = [sources / name for name in ("p0.png", "p5.png", "square.mkv")]
    parts = []
    for index in range(2):
        batch = batch_of(tmp_path, *paths)
        parts.append([o.item.name for o in many.run_batch(batch, many.BatchOptions(shard=(index, 2), retries=0, workers=1))])
    assert parts == [["p0", "square"], ["p5"]]
    with pytest.raises(UsageError, match="I/N"):
        train.plan.texts.shard("1/1")

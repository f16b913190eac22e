"""The command line: result lines and files of encode, decode, info and eval. For exit codes of targets see test_outcome.py."""

import json
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import ENCODE_OPTIONS, Outcome

from codec.decoder import decode
from inr.errors import UsageError
from inr.video import Video
from train.cli.encode import default_output, planned_files

Command = Callable[..., Outcome]


# Encoding


def test_the_result_line_describes_the_file(encoded: tuple[Path, Outcome], clip: Video):
    target, outcome = encoded
    result = outcome.last
    size = target.stat().st_size
    assert result["type"] == "result"
    assert result["bytes"] == size
    assert result["bpp"] == 8 * size / clip.pixels <= 1.5
    assert result["cap_used"] == size / int(1.5 * clip.pixels / 8)
    assert result["target_hit"] is True
    assert (result["width"], result["height"], result["frames"], result["fps"]) == (48, 32, 6, 25.0)
    assert abs(result["estimated_bits"] - 8 * size) <= 0.01 * 8 * size + 8 * 64
    assert 0 < result["seconds_to_first_step"] <= result["seconds"]
    assert result["psnr_rgb"] > 20
    assert not target.with_name(target.name + ".work").exists()
    assert not list(target.parent.glob(".*"))
    assert all(json.loads(line)["type"] in ("progress", "result") for line in outcome.out.splitlines())


def test_the_same_command_again_is_up_to_date(encoded: tuple[Path, Outcome], clip_file: Path, inr: Command):
    target, _ = encoded
    before = target.stat().st_mtime_ns
    again = inr("encode", clip_file, target, *ENCODE_OPTIONS, "--json")
    assert again.code == 0
    assert again.last["up_to_date"] is True
    other = inr("encode", clip_file, target, *ENCODE_OPTIONS, "--seed", "1", "--json")
    assert (other.code, other.last["id"]) == (4, "output-exists")
    assert target.stat().st_mtime_ns == before


def test_a_quality_is_reached(clip_file: Path, inr: Command, tmp_path: Path):
    out = tmp_path / "good.inr"
    outcome = inr("encode", clip_file, out, "--model", "cam", "--target-psnr", 29, "--preset", 800, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["target_hit"] is True
    assert outcome.last["cap_used"] is None
    assert 29 <= inr("eval", out, "--ref", clip_file, "--json").last["psnr_rgb"] <= 29.3


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, inr: Command) -> tuple[Path, Outcome]:
    """Two pictures and a damaged one, and the outcome of one command that encodes all of them."""
    folder = tmp_path_factory.mktemp("several")
    for index in range(2):
        iio.imwrite(folder / f"{index}.png", np.full((8, 10, 3), 90 + 40 * index, np.uint8))
    (folder / "bad.png").write_bytes(b"no picture")
    sources = [folder / name for name in ("0.png", "bad.png", "1.png")]
    return folder, inr("encode", *sources, "-o", folder / "out", "--preset", 60, "--json")


def test_several_inputs_become_files_of_one_folder(several: tuple[Path, Outcome]):
    folder, outcome = several
    found = [json.loads(line) for line in outcome.out.splitlines()]
    results = [line["output"] for line in found if line["type"] == "result"]
    assert results == [str(folder / "out" / name) for name in ("0.inr", "1.inr")]
    for index, path in enumerate(results):
        assert abs(float(decode(Path(path).read_bytes()).render().mean()) - 90 - 40 * index) < 5


def test_one_damaged_input_does_not_stop_the_others(several: tuple[Path, Outcome]):
    folder, outcome = several
    assert outcome.code == 3
    assert [json.loads(line)["id"] for line in outcome.out.splitlines() if '"error"' in line] == ["unreadable-image"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["0.inr", "1.inr"]


def test_the_same_command_for_several_inputs_finds_finished_files(several: tuple[Path, Outcome], inr: Command):
    folder, _ = several
    again = inr("encode", folder / "0.png", folder / "1.png", "-o", folder / "out", "--preset", 60, "--json")
    assert again.code == 0
    assert [json.loads(line)["up_to_date"] for line in again.out.splitlines()] == [True, True]


def test_where_the_files_of_a_command_go(tmp_path: Path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    b.touch()
    assert planned_files([a], None) == [(a, tmp_path / "a.inr")]
    assert planned_files([a, tmp_path / "x.inr"], None) == [(a, tmp_path / "x.inr")]
    assert planned_files([a], tmp_path / "x.inr") == [(a, tmp_path / "x.inr")]
    assert planned_files([a], tmp_path) == [(a, tmp_path / "a.inr")]
    for inputs in ([a, b], [a, b, b]):  # the second input is no output
        with pytest.raises(UsageError, match="need a folder"):
            planned_files(inputs, None)
    with pytest.raises(UsageError, match="same name"):
        planned_files([a, tmp_path / "a.jpg"], tmp_path)


def test_an_estimate_writes_nothing(clip_file: Path, inr: Command, tmp_path: Path):
    before = set(clip_file.parent.iterdir()) | set(tmp_path.iterdir())
    outcome = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", "2kB", "--estimate", "--json", "--time-budget", "40s")
    assert outcome.code == 0, outcome.err
    facts = outcome.last
    assert facts["estimated_bytes"] == [2000, 2000]
    assert facts["estimated_psnr_rgb"][0] < facts["estimated_psnr_rgb"][1]
    assert 0 < facts["steps"] * facts["step_seconds"] <= facts["estimated_seconds"] == 40
    assert set(clip_file.parent.iterdir()) | set(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory: pytest.TempPathFactory, inr: Command) -> Path:
    """A photo, its encode without --json, the messages of that, and its workdir."""
    folder = tmp_path_factory.mktemp("photo")
    rows, columns = np.mgrid[:13, :19]
    iio.imwrite(folder / "photo.png", np.stack([12 * rows, 9 * columns, 100 + 0 * rows], axis=-1).astype(np.uint8))
    outcome = inr("encode", folder / "photo.png", "-q", 90, "--preset", 300, "--workdir", folder / "w")
    assert outcome.code == 0, outcome.err
    (folder / "messages.txt").write_text(outcome.err)
    return folder


def test_a_photo_is_a_video_of_one_frame(photo_folder: Path, inr: Command, tmp_path: Path):
    assert "MS-SSIM" not in (photo_folder / "messages.txt").read_text()  # the picture is too small for it
    decoding = inr("decode", photo_folder / "photo.inr", tmp_path / "back.png")
    assert decoding.code == 0, decoding.err
    error = iio.imread(tmp_path / "back.png").astype(int) - iio.imread(photo_folder / "photo.png")
    assert error.shape == (13, 19, 3)
    assert np.square(error).mean() < 400


def test_a_workdir_gets_logs(photo_folder: Path):
    assert list((photo_folder / "w" / "tensorboard").glob("events*"))
    assert not (photo_folder / "photo.inr.work").exists()
    assert "\r" not in (photo_folder / "messages.txt").read_text()  # no bar where there is no terminal


def test_the_output_is_named_after_the_input():
    assert default_output(Path("clips/talk.mp4")) == Path("clips/talk.inr")
    assert default_output(Path("clips/frames/")) == Path("clips/frames.inr")
    assert default_output(Path("clips/frames/f_*.png")).name == "frames.inr"


def test_impossible_or_contradictory_targets_are_refused(clip_file: Path, inr: Command, tmp_path: Path):
    small = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", 40, "--json")
    assert small.code == small.last["exit_code"] == 6
    assert "40 bytes is below" in small.last["message"]
    both = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", "9kB", "--target-psnr", 30, "--json")
    assert both.code == 2
    assert "contradict" in both.last["message"]
    assert not list(tmp_path.iterdir())


# Other verbs


def test_eval_measures_the_same_as_encode(encoded: tuple[Path, Outcome], clip_file: Path, inr: Command, tmp_path: Path):
    target, outcome = encoded
    measured = inr("eval", target, "--ref", clip_file, "--per-frame", tmp_path / "frames.csv", "--json")
    assert measured.code == 0, measured.err
    for key in ("bytes", "bpp", "psnr_rgb", "psnr_rgb_of_mean_mse"):
        assert measured.last[key] == pytest.approx(outcome.last[key], rel=1e-9)
    assert len((tmp_path / "frames.csv").read_text().splitlines()) == 7


def test_a_file_decodes_to_every_format(encoded: tuple[Path, Outcome], inr: Command, tmp_path: Path):
    target, _ = encoded
    exact = decode(target.read_bytes()).render()
    for name in ("a.npy", "a.mkv", "a.mp4", "a.y4m", "frames/%02d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        outcome = inr("decode", target, tmp_path / name, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.last["frames"] == 6
    assert np.array_equal(np.load(tmp_path / "a.npy"), exact)
    assert np.array_equal(iio.imread(tmp_path / "frames" / "03.png"), exact[3])
    assert inr("eval", tmp_path / "a.mkv", "--ref", tmp_path / "frames", "--json").last["psnr_rgb"] == 100
    assert "near-lossless" in inr("decode", target, tmp_path / "b.mp4", "--frames", "2:4").err


def test_info_sums_to_the_file(encoded: tuple[Path, Outcome], inr: Command):
    target, _ = encoded
    facts = inr("info", target, "--json").last
    assert sum(facts["sections"].values()) == facts["bytes"] == target.stat().st_size
    assert facts["segments"] == [6]
    assert facts["sections"]["overhead"] > 0
    text = inr("info", target)
    assert text.code == 0
    assert "layer 0 tensors" in text.out

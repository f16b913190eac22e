"""`inr bench`: rows describe files on disk, nothing is measured twice, curves are compared by the rules."""

import csv
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.decoder import decode
from inr.writing import write_video
from train.bench import arguments as bench_arguments
from train.bench import ffmpeg
from train.bench.curves import bd_rate, bd_rates
from train.bench.plan import evenly, geometrically
from train.bench.points import Point, read_points
from train.bench.running import Runner

HEIGHT, WIDTH, FRAMES = 48, 64, 6
Bench = Callable[..., Outcome]


@pytest.fixture(scope="session")
def bench(inr: Callable[..., Outcome]) -> Bench:
    return lambda *arguments: inr("bench", *arguments, "--json")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose name breaks a page that does not escape it, and a command that does not quote it."""
    path = tmp_path_factory.mktemp("clips") / "-a: <b> & c.mkv"
    write_video(moving_square(FRAMES, HEIGHT, WIDTH), str(path))
    return path


@pytest.fixture(scope="module")
def asked(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """The arguments of a comparison: two points of this codec after a few steps, two of x264."""
    folder = tmp_path_factory.mktemp("bench") / "results"
    return (source, "--codecs", "inr,x264", "--points", 2, "--bpp", "4:6", "--preset", 60, "-o", folder)


@pytest.fixture(scope="module")
def folder(asked: tuple[object, ...], bench: Bench) -> Path:
    """The results of that comparison."""
    outcome = bench(*asked)
    assert outcome.code == 0, outcome.err
    return Path(str(asked[-1]))


@pytest.fixture(scope="module")
def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def decoded(row: dict[str, str], folder: Path) -> np.ndarray:
    if row["codec"] == "inr":
        return decode((folder / row["stream"]).read_bytes()).render()
    return ffmpeg.read_stream(folder / row["stream"], "h264", HEIGHT, WIDTH, 1)


def test_a_row_describes_its_file(table: list[dict[str, str]], folder: Path):
    assert [row["codec"] for row in table] == ["inr", "inr", "x264", "x264"]
    for row in table:
        size = (folder / row["stream"]).stat().st_size
        assert int(row["bytes"]) == size
        assert float(row["bpp"]) == pytest.approx(8 * size / (WIDTH * HEIGHT * FRAMES))
        assert float(row["encode_seconds"]) > 0
        assert float(row["decode_seconds"]) > 0
        assert (float(row["macs_per_pixel"] or 0) > 0) == (row["codec"] == "inr")
    assert [float(row["bpp"]) <= cap for row, cap in zip(table, (4, 6), strict=False)] == [True, True]


def test_the_quality_is_that_of_the_stream(table: list[dict[str, str]], folder: Path):
    reference = moving_square(FRAMES, HEIGHT, WIDTH).frames.astype(float)
    for row in table:
        errors = np.square(decoded(row, folder) - reference).mean(axis=(1, 2, 3))
        assert float(row["psnr_rgb"]) == pytest.approx(np.mean(10 * np.log10(255**2 / errors)), abs=0.01)
    assert float(table[2]["psnr_rgb"]) > 30


def test_a_command_makes_the_same_stream(table: list[dict[str, str]], folder: Path):
    row = table[-1]
    name, *arguments = shlex.split(row["command"])
    assert (name, arguments[-1]) == ("ffmpeg", row["stream"])
    again = folder / "again.h264"
    ffmpeg.run_ffmpeg([*arguments[:-1], again.name], folder)
    assert again.read_bytes() == (folder / row["stream"]).read_bytes()
    again.unlink()
    name, verb, given, stream, *rest = shlex.split(table[0]["command"])
    assert (name, verb, stream, rest) == ("inr", "encode", table[0]["stream"], ["--target-bpp", "4", "--preset", "60"])
    assert (folder / given).is_file()


def test_the_page_stands_alone_and_escapes(folder: Path):
    page = (folder / "report.html").read_text()
    assert "-a: &lt;b&gt; &amp; c" in page
    assert "<b>" not in page
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert (folder / "rd.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_measured_twice(
    asked: tuple[object, ...], table: list[dict[str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench
):
    ran: list[str] = []
    run_job = Runner.__call__

    def counted(self, job, place):
        ran.append(job.stream)
        return run_job(self, job, place)

    monkeypatch.setattr(Runner, "__call__", counted)
    outcome = bench(*asked)
    assert (outcome.code, ran) == (0, [])
    assert outcome.last["output"] == str(folder / "report.html")
    assert [point["stream"] for point in outcome.last["points"]] == [row["stream"] for row in table]
    assert outcome.last["bd_rate"] == bd_rates(read_points(folder / "results.csv"), "inr")
    assert outcome.last["bd_rate"]["-a: <b> & c"].keys() == {"x264"}
    (folder / table[-1]["stream"]).write_bytes(b"cut")
    assert bench(*asked).code == 0
    assert ran == [table[-1]["stream"]]
    with (folder / "results.csv").open(newline="") as file:
        assert [row["bytes"] for row in csv.DictReader(file)] == [row["bytes"] for row in table]


def test_an_odd_size_is_coded_as_it_is(tmp_path: Path, bench: Bench):
    write_video(moving_square(2, 33, 47), str(tmp_path / "odd.mkv"))
    outcome = bench(tmp_path / "odd.mkv", "--codecs", "x264", "--points", 1, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    (point,) = outcome.last["points"]
    assert (point["width"], point["height"], point["label"]) == (47, 33, "crf 30")
    assert point["psnr_rgb"] > 25
    refused = bench(tmp_path / "odd.mkv", "--codecs", "x264,svtav1", "-o", tmp_path / "out")
    assert (refused.code, refused.last["id"]) == (3, "odd-size")


# Curves


def curve(points: list[tuple[float, float]]) -> list[Point]:
    blank = Point("clip", "", "", "", "", 1, 64, 48, 6, 0, 0.0, 0.0, 0.0, None, None, 0.0, None, None, "", "")
    return [replace(blank, bpp=bpp, psnr_rgb=psnr) for bpp, psnr in points]


ANCHOR = [(0.1, 30.0), (0.2, 33.0), (0.4, 35.5), (0.8, 37.5)]


def test_bd_rate_of_known_curves():
    anchor = curve(ANCHOR)
    assert bd_rate(anchor, anchor) == pytest.approx(0, abs=1e-9)
    assert bd_rate(anchor, curve([(bpp / 2, psnr) for bpp, psnr in ANCHOR])) == pytest.approx(-50)
    assert bd_rate(anchor, curve([(3 * bpp, psnr) for bpp, psnr in reversed(ANCHOR)])) == pytest.approx(200)
    assert bd_rate(anchor, curve([(2 * bpp, psnr) for bpp, psnr in [*ANCHOR, (1.0, 37.5)]])) == pytest.approx(100)


@pytest.mark.parametrize(("shift", "known"), [(3.7, True), (3.8, False), (-3.7, True), (-3.8, False), (9, False)])
def test_bd_rate_needs_half_of_the_range_in_common(shift: float, known: bool):
    moved = curve([(bpp, psnr + shift) for bpp, psnr in ANCHOR])
    assert (bd_rate(curve(ANCHOR), moved) is not None) == known


def test_bd_rate_needs_two_points():
    assert bd_rate(curve(ANCHOR), curve(ANCHOR[1:2])) is None
    assert bd_rate(curve([]), curve(ANCHOR)) is None


def test_points_are_spaced():
    assert evenly(18, 43, 6) == [18, 23, 28, 33, 38, 43]
    assert evenly(18, 20, 9) == [18, 19, 20]
    assert geometrically(0.02, 0.2, 3) == [0.02, 0.06325, 0.2]
    assert geometrically(0.1, 0.1, 3) == [0.1]


# Mistakes


@pytest.mark.parametrize(
    ("options", "code", "identifier"),
    [
        (("--codecs", "inr,h263"), 2, "unknown-codec"),
        (("--codecs", "inr,x264", "--anchor", "x265"), 2, "anchor"),
        (("--points", "0"), 2, "points-range"),
        (("--bpp", "0.1"), 2, "bpp-range"),
        (("--bpp", "0.2:0.1"), 2, "bpp-range"),
        (("--preset", "quick"), 2, "unknown-choice"),
        (("--time-budget", "soon"), 2, "bad-duration"),
        (("--threads", "0"), 2, "threads-range"),
        (("--scale", "big"), 2, "bad-scale"),
        (("--bpp", "0.0001:1"), 6, "target-too-small"),
        (("--frames", "90:99"), 3, "no-frames"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_run(
    options: tuple[str, ...], code: int, identifier: str, source: Path, tmp_path: Path, bench: Bench
):
    outcome = bench(source, *options, "-o", tmp_path / "out")
    assert (outcome.code, outcome.last["id"]) == (code, identifier)
    assert not (tmp_path / "out").exists()


def test_bad_places_are_refused(source: Path, tmp_path: Path, bench: Bench):
    for arguments, identifier in (
        ((source, "-o", source), "not-a-folder"),
        ((tmp_path / "none.mkv", "-o", tmp_path), "missing-input"),
        ((source, source, "-o", tmp_path), "same-name"),
    ):
        assert bench(*arguments, "--codecs", "x264").last["id"] == identifier
    (tmp_path / "results.csv").write_text("clip,codec\nmine,x264\n")
    outcome = bench(source, "--codecs", "x264", "-o", tmp_path)
    assert (outcome.code, outcome.last["id"]) == (3, "foreign-results")


def test_missing_tools_are_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench):
    monkeypatch.setattr(ffmpeg, "encoders", lambda: {"libx264"})
    outcome = bench(source, "--codecs", "x264,vvenc", "-o", tmp_path)
    assert (outcome.code, outcome.last["id"]) == (8, "no-encoder")
    assert "vvenc (libvvenc)" in outcome.last["message"]
    monkeypatch.setattr(bench_arguments, "find_spec", lambda name: None)
    outcome = bench(source, "--codecs", "x264", "-o", tmp_path)
    assert (outcome.code, outcome.last["id"]) == (8, "missing-extra")
    assert outcome.last["fix"] == "pip install 'inr-codec[eval]'"
    assert "imageio_ffmpeg" in outcome.last["message"]

"""`inr bench` on pictures: codecs of pictures, their commands, and curves from elsewhere."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome, moving_square
from PIL import Image

from codec.metrics import psnr
from train.bench import ffmpeg
from train.bench.arguments import BPP_OF_PICTURES, OF_PICTURES, OF_VIDEOS, CurveOptions, parse_codecs, parse_plan
from train.bench.picture import panels_of
from train.bench.plan import Network
from train.bench.points import Point, read_points
from train.bench.references import ReferencePoint

SIZE = 33, 47  # odd, which 4:2:0 must support


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "it's a picture.png"
    Image.fromarray(moving_square(1, *SIZE).frames[0]).save(path)
    return path


@pytest.fixture(scope="module")
def folder(picture: Path, inr: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two points of every codec of pictures."""
    folder = tmp_path_factory.mktemp("bench") / "results"
    outcome = inr("bench", picture, "--codecs", "jpeg,webp,avif,jxl", "--points", 2, "-o", folder, "--json")
    assert outcome.code == 0, outcome.err
    return folder


def decoded(point: Point, folder: Path) -> np.ndarray:
    if point.codec == "jxl":
        return ffmpeg.read_stream(folder / point.stream, "jpegxl_pipe", *SIZE, 1, rgb=True)[0]
    return np.asarray(Image.open(folder / point.stream).convert("RGB"))


def test_a_row_describes_its_file(picture: Path, folder: Path):
    points = read_points(folder / "results.csv")
    assert [point.codec for point in points] == ["jpeg", "jpeg", "webp", "webp", "avif", "avif", "jxl", "jxl"]
    original = np.asarray(Image.open(picture))
    for point in points:
        assert point.bytes == (folder / point.stream).stat().st_size
        assert point.bpp == pytest.approx(8 * point.bytes / (SIZE[0] * SIZE[1]))
        assert point.psnr_rgb == pytest.approx(psnr(np.mean(np.square(decoded(point, folder) - original.astype(float)))), abs=0.01)
    better, worse = points[::2], points[1::2]
    assert all(best.psnr_rgb > worst.psnr_rgb and best.bytes > worst.bytes for best, worst in zip(better, worse, strict=True))
    assert min(point.psnr_rgb for point in better) > 28


def test_the_command_makes_the_same_file(folder: Path):
    for point in read_points(folder / "results.csv"):
        made = (folder / point.stream).read_bytes()
        (folder / point.stream).unlink()
        program, *arguments = shlex.split(point.command)
        command = [{"python": sys.executable, "ffmpeg": ffmpeg.executable()}[program], *arguments]
        subprocess.run(command, cwd=folder, check=True)
        assert (folder / point.stream).read_bytes() == made


def test_codecs_and_rates_fit_the_clips(clip_file: Path, tmp_path: Path):
    picture = tmp_path / "large.png"
    Image.fromarray(moving_square(1, 256, 256).frames[0]).save(picture)
    options = CurveOptions((), "", 3, None, None, Network())
    for source, codecs, bpp in ((picture, OF_PICTURES, BPP_OF_PICTURES), (clip_file, OF_VIDEOS, (1.0, 2.0))):
        if source == clip_file:  # too small for the usual rates
            options = replace(options, bpp=bpp)
        plan = parse_plan([source], tmp_path / "out", options, ("", ""))
        assert (plan.codecs, plan.bpp, plan.anchor) == (parse_codecs(codecs, "", options.network), bpp, "x265")


def test_a_codec_of_pictures_refuses_a_video(clip_file: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    for codec in ("jpeg", "jxl"):
        refused = inr("bench", clip_file, "--codecs", f"x264,{codec}", "-o", tmp_path / "out", "--json")
        assert (refused.code, refused.last["id"]) == (3, "no-picture")
        assert refused.last["fix"] == f"--frames 0:1   or omit {codec}"
    assert not (tmp_path / "out").exists()


# Curves from elsewhere


def test_given_curves_are_drawn_and_wrong_ones_refused(picture: Path, folder: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    curves, drawn = tmp_path / "curves.csv", folder / "rd.png"
    ask = ("bench", picture, "--codecs", "jpeg,webp,avif,jxl", "--points", 2, "-o", folder, "--curves", curves, "--json")
    before = drawn.read_bytes()
    curves.write_text("codec,clip,bpp,psnr_rgb\nHM,,0.1,28\nHM,,0.2,30\n")
    assert inr(*ask).code == 0
    assert drawn.read_bytes() != before
    for text in ("codec,rate\nHM,0.1\n", "codec,bpp,psnr_rgb\nHM,little,28\n", "codec,bpp,psnr_rgb\n", "codec,bpp,psnr_rgb\nHM,0,28\n"):
        curves.write_text(text)
        outcome = inr(*ask)
        assert (outcome.code, outcome.last["id"]) == (3, "bad-curves")
    curves.unlink()
    assert inr(*ask).last["id"] == "missing-input"


def point(clip: str, codec: str, label: str, bpp: float, psnr_rgb: float) -> Point:
    return Point(clip, "", codec, label, "", 1, 64, 48, 1, 0, bpp, psnr_rgb, psnr_rgb, None, None, 0.0, None, None, "", "")


def test_means_are_over_settings_that_all_clips_have():
    points = [
        point("a", "x", "q 1", 0.2, 30),
        point("a", "x", "q 2", 0.1, 28),
        point("b", "x", "q 1", 0.4, 34),
        point("b", "y", "q", 1, 40),
    ]
    references = [ReferencePoint("HM", "", 0.3, 31), ReferencePoint("HM", "", 0.2, 30), ReferencePoint("COIN", "a", 0.3, 25)]
    first, second, mean = panels_of(points, references)
    assert (first.title, first.curves, first.references) == ("a", {"x": [(0.1, 28), (0.2, 30)], "y": []}, {"COIN": [(0.3, 25)]})
    assert (second.title, second.references) == ("b", {})
    assert (mean.title, mean.references) == ("mean of 2 clips", {"HM": [(0.2, 30), (0.3, 31)]})
    assert mean.curves["x"] == [(pytest.approx(0.3), 32)]
    assert mean.curves["y"] == []
    (only,) = panels_of(points[:2], references)
    assert only.references == {"COIN": [(0.3, 25)], "HM": [(0.2, 30), (0.3, 31)]}

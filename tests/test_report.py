"""`inr compare`: a page that stands by itself, a sheet, a video; and the page in a real browser where there is one."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import PATIENCE, Outcome

from codec.decoder import decode
from codec.report import page as page_module
from codec.report.measuring import Comparison, compared
from codec.report.page import page
from inr.errors import InputError, UsageError
from inr.reading import read_video
from inr.writing import write_video

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def comparison(clip_file: Path, encoded: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """An .inr and an mp4 beside their source."""
    copy = tmp_path_factory.mktemp("report") / "copy.mp4"
    write_video(read_video(clip_file), str(copy))
    return compared(clip_file, [encoded[0], copy])


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return page(comparison)


def facts_of(html: str) -> dict:
    return json.loads(re.search(r'type="application/json">(.*?)</script>', html)[1])


def test_the_figures_are_those_of_the_files(comparison: Comparison, html: str, encoded: tuple[Path, Outcome]):
    target, outcome = encoded
    ours, theirs = facts_of(html)["compared_files"]
    assert ours["bytes"] == target.stat().st_size
    assert ours["psnr"] == pytest.approx(outcome.last["psnr_rgb"])
    assert sum(ours["parts"].values()) == pytest.approx(ours["bytes"], abs=3)
    assert len(ours["frame_psnr"]) == len(ours["frame_bits"]) == 6
    assert sum(ours["frame_bits"]) < 8 * ours["bytes"]
    assert not theirs["parts"]
    assert 0 < sum(theirs["frame_bits"]) < 8 * theirs["bytes"]


def test_the_page_needs_nothing_beside_it(html: str):
    outside = [address for address in re.findall(r'(?:src|href)\s*=\s*["\']([^"\']+)', html) if not address.startswith("data:")]
    assert not outside
    assert not re.findall(r"https?://(?!www\.w3\.org)", html)
    assert len(html) < 20e6


def test_frames_are_exact(comparison: Comparison, html: str):
    facts = facts_of(html)
    assert facts["kept"] == list(range(6))
    assert list(facts["pictures"]) == ["source: square.mkv", *(candidate.name for candidate in comparison.compared_files)]
    for name, frames in zip(facts["pictures"], [comparison.source.frames, *(c.frames for c in comparison.compared_files)], strict=True):
        image = base64.b64decode(facts["pictures"][name][4].split(",")[1])
        assert np.array_equal(iio.imread(image, extension=".webp")[..., :3], frames[4])


def test_a_page_too_large_keeps_the_worst_frames(comparison: Comparison, monkeypatch: pytest.MonkeyPatch):
    whole = len(page(comparison))
    monkeypatch.setattr(page_module, "MOST_BYTES", whole // 3)
    monkeypatch.setattr(page_module, "FEWEST_FRAMES", 2)
    fewer = facts_of(page(comparison))
    assert 2 <= len(fewer["kept"]) < 6
    assert fewer["worst"][0] in fewer["kept"]
    assert "exact" in fewer["kept_as"]
    monkeypatch.setattr(page_module, "MOST_BYTES", 10)
    assert "lossy" in facts_of(page(comparison))["kept_as"]


def test_a_name_cannot_break_the_page(comparison: Comparison):
    odd = replace(comparison, reference="</script><b>FACTS")
    assert facts_of(page(odd))["reference"] == "</script><b>FACTS"


def test_files_that_do_not_match_the_source_are_refused(clip_file: Path, encoded: tuple[Path, Outcome]):
    with pytest.raises(InputError, match="6 frames against 3"):
        compared(clip_file, [encoded[0]], (0, 3))
    with pytest.raises(UsageError):
        compared(clip_file, [])


def test_the_command_writes_pages_sheets_and_videos(
    clip_file: Path, encoded: tuple[Path, Outcome], tmp_path: Path, inr: Callable[..., Outcome]
):
    target, _ = encoded
    outcome = inr("compare", "--ref", clip_file, target, "-o", tmp_path / "a.html", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["bytes"] == (tmp_path / "a.html").stat().st_size
    assert inr("compare", "--ref", clip_file, target, "-o", tmp_path / "a.html").code == 4
    assert inr("compare", "--ref", clip_file, target, "-o", tmp_path / "a.doc").code == 2
    assert inr("compare", "--ref", clip_file, target, "-o", tmp_path / "sheet.png").code == 0
    assert iio.imread(tmp_path / "sheet.png").shape == (3 * 32, 3 * 48, 3)
    assert inr("compare", "--ref", clip_file, target, target, "-o", tmp_path / "side.mkv").code == 0
    beside = read_video(tmp_path / "side.mkv").frames
    decoded = decode(target.read_bytes()).render()
    assert np.array_equal(beside, np.concatenate([read_video(clip_file).frames, decoded, decoded], axis=2))


def test_an_encode_writes_its_report(clip_file: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    options = ("--report", "--frames", "0:3", "--scale", "1/2", "-q", 70, "--preset", 60, "--model", "cam")
    outcome = inr("encode", clip_file, tmp_path / "a.inr", *options)
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "a.html").read_text()
    assert inr("encode", clip_file, tmp_path / "a.inr", *options).code == 0  # up to date, and so is the page
    assert (tmp_path / "a.html").read_text() == page
    facts = facts_of(page)
    assert (facts["width"], facts["height"], facts["frames"]) == (24, 16, 3)
    assert facts["commands"][0].startswith("inr encode ")


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium to open the page in")
def test_a_browser_draws_the_page(html: str, tmp_path: Path):
    """Its script runs to the end without a network: the first frame is drawn, and every figure is in place."""
    (tmp_path / "report.html").write_text(html)
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    command = [browser, *options, "--dump-dom", (tmp_path / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert 'data-drawn="wipe' in done.stdout, done.stderr[-500:]
    assert done.stdout.count("<polyline") == 4
    assert 'class="map"' in done.stdout

"""codec/retarget.py: a smaller file from the file alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome, moving_square

from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import compare
from codec.retarget import Retargeted, retarget, tensors_of, widened
from inr.errors import TargetMissed
from inr.writing import write_video

TOO_SMALL = 170  # bytes, less than any picture near the encoded file's takes


@pytest.fixture(scope="module")
def data(encoded: tuple[Path, Outcome]) -> bytes:
    return encoded[0].read_bytes()


@pytest.fixture(scope="module")
def smaller(data: bytes) -> Retargeted:
    """The encoded file at 85 % of its size."""
    return retarget(data, decode(data), int(0.85 * len(data)))


def test_a_smaller_file_uses_its_cap_and_keeps_the_picture(data: bytes, smaller: Retargeted):
    slightly = retarget(data, decode(data), int(0.95 * len(data)))
    for made, share in ((slightly, 0.95), (smaller, 0.85)):
        cap = int(share * len(data))
        assert 0.97 * cap <= len(made.data) <= cap
        report = compare(decode(made.data).render(), decode(data).render(), len(made.data))
        assert report.psnr_rgb == pytest.approx(made.psnr_to_input)
    assert slightly.psnr_to_input > smaller.psnr_to_input


def test_chosen_step_sizes_beat_equally_widened_ones(data: bytes, smaller: Retargeted):
    model = decode(data)
    alike = next(m for by in range(1, 40) if len(encode(m := widened(model, dict.fromkeys(tensors_of(model), by)))) <= len(smaller.data))
    assert smaller.psnr_to_input > compare(alike.render(), model.render(), 1).psnr_rgb + 0.5


def test_a_larger_cap_changes_nothing(data: bytes):
    assert retarget(data, decode(data), len(data)).data == data


def test_the_command_writes_the_smaller_file_or_nothing(encoded: tuple[Path, Outcome], inr: Callable[..., Outcome], tmp_path: Path):
    source, out = encoded[0], tmp_path / "small.inr"
    size = int(0.9 * source.stat().st_size)
    outcome = inr("retarget", source, out, "--target-size", size, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["bytes"] == out.stat().st_size <= size
    assert inr("retarget", source, out, "--target-size", size).code == 4
    assert inr("retarget", source, tmp_path / "x.inr", "--target-size", "many").code == 2
    missed = inr("retarget", source, tmp_path / "x.inr", "--target-size", TOO_SMALL, "--json")
    assert missed.code == missed.last["exit_code"] == TargetMissed.exit_code == 6
    assert "below 28 dB" in missed.last["message"]
    assert f"--target-size {TOO_SMALL}" in missed.last["fix"]
    assert not (tmp_path / "x.inr").exists()


def test_a_picture_is_fitted_to_its_own_picture(inr: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.cli.retarget.STEPS", 160)
    source, file, out = tmp_path / "square.png", tmp_path / "square.inr", tmp_path / "small.inr"
    write_video(moving_square(1, 40, 56), str(source))
    assert inr("encode", source, file, "--preset", 160, "-q", 90).code == 0
    cap = int(0.7 * file.stat().st_size)
    outcome = inr("retarget", file, out, "--target-size", cap, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["bytes"] == out.stat().st_size <= cap
    shown, before = decode(out.read_bytes()).render(), decode(file.read_bytes()).render()
    assert outcome.last["psnr_rgb_to_input"] == pytest.approx(compare(shown, before, cap).psnr_rgb)
    assert outcome.last["psnr_rgb_to_input"] > 22  # of 10 for its mean colour
    assert inr("retarget", file, out, "--target-size", cap).code == 4
    same = inr("retarget", file, tmp_path / "same.inr", "--target-size", file.stat().st_size)
    assert same.code == 0
    assert (tmp_path / "same.inr").read_bytes() == file.read_bytes()

"""codec/retarget.py: a smaller file in seconds, from the file alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from codec.decoder import decode
from codec.evaluation import compare
from codec.retarget import retarget, tensors_of, widened
from inr.errors import TargetMissed


@pytest.fixture(scope="module")
def data(encoded: tuple) -> bytes:
    return encoded[0].read_bytes()


@pytest.mark.parametrize("share", [0.95, 0.85])
def test_a_smaller_file_uses_its_cap_and_keeps_the_picture(data: bytes, share: float):
    cap = int(share * len(data))
    done = retarget(data, decode(data), cap)
    assert 0.97 * cap <= len(done.data) <= cap
    report = compare(decode(done.data).render(), decode(data).render(), len(done.data))
    assert report.psnr_rgb == pytest.approx(done.psnr_to_input)


def test_it_beats_widening_all_steps_alike(data: bytes):
    model = decode(data)
    done = retarget(data, model, int(0.85 * len(data)))
    from codec.encoder import encode

    alike = next(m for by in range(1, 40) if len(encode(m := widened(model, dict.fromkeys(tensors_of(model), by)))) <= len(done.data))
    assert done.psnr_to_input > compare(alike.render(), model.render(), 1).psnr_rgb + 0.5


def test_a_larger_cap_changes_nothing(data: bytes):
    assert retarget(data, decode(data), len(data)).data == data


def test_too_small_a_cap_is_refused(data: bytes):
    with pytest.raises(TargetMissed, match="below 28 dB a new fit is better") as raised:
        retarget(data, decode(data), 170)
    assert "--target-size 170" in raised.value.fix


def test_the_command(encoded: tuple, inr: Callable, tmp_path: Path):
    source, out = encoded[0], tmp_path / "small.inr"
    size = int(0.9 * source.stat().st_size)
    outcome = inr("retarget", source, out, "--target-size", size, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["bytes"] == out.stat().st_size <= size
    assert inr("retarget", source, out, "--target-size", size).code == 4
    assert inr("retarget", source, tmp_path / "x.inr", "--target-size", "many").code == 2
    missed = inr("retarget", source, tmp_path / "x.inr", "--target-size", 170, "--json")
    assert missed.code == missed.last["exit_code"] == 6
    assert not (tmp_path / "x.inr").exists()

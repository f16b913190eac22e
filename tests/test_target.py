"""train/fit/target.py: sizes, rates and qualities as people type them, and the files that meet them."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from codec.sizes import parse_bitrate, parse_size
from inr.errors import UsageError
from inr.spec import VideoSpec
from train.fit.target import RateTarget, checked_target

VIDEO = VideoSpec(320, 160, 50, Fraction(25))


@pytest.mark.parametrize(
    ("text", "size"), [("1500", 1500), ("120kB", 120_000), ("8MB", 8_000_000), ("64KiB", 65_536), ("1.5 MiB", 1_572_864), ("900 b", 900)]
)
def test_a_size_has_a_unit_or_is_in_bytes(text: str, size: int):
    assert parse_size(text) == size
    assert checked_target(size=text).cap(VIDEO) == size


@pytest.mark.parametrize(("text", "rate"), [("300k", 300e3), ("1.5M", 1.5e6), ("64kbit/s", 64e3), ("800kbps", 800e3), ("5000", 5000)])
def test_a_bitrate_gives_a_cap_by_the_videos_length(text: str, rate: float):
    assert parse_bitrate(text) == rate
    assert checked_target(bitrate=text).cap(VIDEO) == int(rate * 2 / 8)  # two seconds


@pytest.mark.parametrize("text", ["", "0", "-3kB", "12 bananas", "kB", "1e3", "0.2b"])
def test_text_that_is_no_size_is_refused(text: str):
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


def test_two_targets_are_refused():
    with pytest.raises(UsageError, match=r"--target-size 9kB and --target-psnr 30 contradict"):
        checked_target(size="9kB", psnr=30)
    with pytest.raises(UsageError, match="contradict"):
        checked_target(quality=50, bpp=0.1)


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"bpp": 0.0}, {"bpp": 25.0}, {"psnr": 4.0}, {"psnr": 61.0}])
def test_values_outside_their_range_are_refused(options: dict):
    with pytest.raises(UsageError, match="lies outside"):
        checked_target(**options)


def test_a_quality_has_no_cap_but_a_nominal_rate():
    assert checked_target().cap(VIDEO) is None
    assert RateTarget(quality=80).nominal_bpp(VIDEO) > RateTarget(quality=20).nominal_bpp(VIDEO)
    assert RateTarget(target_bpp=0.1).cap(VIDEO) == int(0.1 * 320 * 160 * 50 / 8)
    assert RateTarget(target_bytes=6400).nominal_bpp(VIDEO) == pytest.approx(0.02)


def test_a_resolved_target_is_in_bytes():
    assert RateTarget(target_bpp=0.1).resolved(VIDEO, used=1000) == RateTarget(target_bytes=31_000)
    assert RateTarget(target_bitrate=64e3).resolved(VIDEO) == RateTarget(target_bytes=16_000)
    assert RateTarget(target_psnr=30.0).resolved(VIDEO) == RateTarget(target_psnr=30.0)
    assert RateTarget(quality=70).resolved(VIDEO) == RateTarget(quality=70)


def measured(psnr: float) -> Callable[[], float]:
    """A measurement that gives `psnr`."""
    return lambda: psnr


def unmeasured() -> float:
    """A PSNR that nobody may ask for."""
    raise AssertionError("the PSNR was measured, but it does not matter")


def test_a_file_at_or_under_its_cap_meets_it():
    """However little of the cap it uses; rate control stops only if it uses 97 %, or if the picture is nearly perfect."""
    target = RateTarget(target_bytes=1000)
    assert [target.met_by(size, unmeasured) for size in (1, 900, 1000, 1001)] == [True, True, True, False]
    assert target.hit_by(970, unmeasured)
    assert not target.hit_by(1001, unmeasured)
    assert [target.hit_by(969, measured(psnr)) for psnr in (49.9, 50.0)] == [False, True]


def test_a_file_as_good_as_asked_for_meets_its_quality():
    """However much better it is; rate control stops only within 0.3 dB above."""
    target = RateTarget(target_psnr=30.0)
    assert [target.met_by(1, measured(psnr)) for psnr in (29.99, 30.0, 35.0)] == [False, True, True]
    assert [target.hit_by(1, measured(psnr)) for psnr in (29.99, 30.0, 30.29, 30.31)] == [False, True, True, False]


def test_any_file_meets_a_dial():
    assert RateTarget(quality=50).met_by(10**9, unmeasured)
    assert RateTarget(quality=50).hit_by(10**9, unmeasured)

"""train/target.py: sizes, rates and qualities as people type them."""

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
def test_sizes(text: str, size: int):
    assert parse_size(text) == size
    assert checked_target(size=text).cap(VIDEO) == size


@pytest.mark.parametrize(("text", "rate"), [("300k", 300e3), ("1.5M", 1.5e6), ("64kbit/s", 64e3), ("800kbps", 800e3), ("5000", 5000)])
def test_rates(text: str, rate: float):
    assert parse_bitrate(text) == rate
    assert checked_target(bitrate=text).cap(VIDEO) == int(rate * 2 / 8)  # two seconds


@pytest.mark.parametrize("text", ["", "0", "-3kB", "12 bananas", "kB", "1e3", "0.2b"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


def test_one_target_at_a_time():
    with pytest.raises(UsageError, match=r"--target-size 9kB and --target-psnr 30 contradict"):
        checked_target(size="9kB", psnr=30)
    with pytest.raises(UsageError, match="contradict"):
        checked_target(quality=50, bpp=0.1)


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"bpp": 0.0}, {"bpp": 25.0}, {"psnr": 4.0}, {"psnr": 61.0}])
def test_what_lies_outside_its_range_is_refused(options: dict):
    with pytest.raises(UsageError, match="lies outside"):
        checked_target(**options)


def test_a_quality_has_no_cap_but_a_nominal_rate():
    assert checked_target().cap(VIDEO) is None
    assert RateTarget(quality=80).nominal_bpp(VIDEO) > RateTarget(quality=20).nominal_bpp(VIDEO)
    assert RateTarget(target_bpp=0.1).cap(VIDEO) == int(0.1 * 320 * 160 * 50 / 8)
    assert RateTarget(target_bytes=6400).nominal_bpp(VIDEO) == pytest.approx(0.02)

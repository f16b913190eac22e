"""train/plan/picture_curve.py, and the optimiser of grids: a picture's fit starts near its target and stays sparse."""

import jax.numpy as jnp
import numpy as np
import pytest

from inr.video import Video
from train.fit.config import FitConfig
from train.fit.schedule import BITS_SETTLE, expected_bits
from train.fit.state import MOST_UPDATE, scale_by_grid
from train.plan.picture_curve import PictureCurve, block_coefficients, entropy_bits


@pytest.fixture(scope="module")
def curve(clip: Video) -> PictureCurve:
    return PictureCurve(clip.frames[0])


def test_the_point_at_a_rate_has_that_rate(curve: PictureCurve):
    least = curve.at_bpp(0.0).bpp
    for bpp in (least + 0.5, least + 1.0):
        assert curve.at_bpp(bpp).bpp == pytest.approx(bpp, rel=0.02)


def test_a_higher_rate_has_a_higher_psnr_and_a_smaller_rate_weight(curve: PictureCurve):
    low, high = (curve.at_bpp(curve.at_bpp(0.0).bpp + more) for more in (0.3, 1.5))
    assert low.psnr < high.psnr
    assert low.rate_weight > high.rate_weight


def test_the_point_at_a_psnr_has_that_psnr(curve: PictureCurve):
    assert curve.at_psnr(32.0).psnr == pytest.approx(32.0, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (17, 33, 3)])
def test_small_pictures_have_a_curve(shape: tuple[int, ...]):
    for level in (0, 255):
        point = PictureCurve(np.full(shape, level, np.uint8)).at_psnr(30.0)
        assert np.isfinite([point.bpp, point.psnr, point.rate_weight]).all()


def test_the_transform_keeps_energy():
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    luma = picture @ np.array([0.299, 0.587, 0.114]) / 255
    energy = np.square(block_coefficients(picture)[:256]).sum()
    assert energy == pytest.approx(np.square(luma - luma.mean()).sum(), rel=1e-9)


def test_the_entropy_of_equally_frequent_symbols():
    four, none = np.repeat(np.arange(4.0), 8), np.zeros(32)
    assert entropy_bits(four[None]) == pytest.approx(64.0)
    assert entropy_bits(none[None]) == 0
    assert entropy_bits(np.stack([none, four, four + 3, none + 3])) == pytest.approx(128.0)


def test_an_entry_of_a_grid_moves_in_proportion_to_its_gradient():
    optimiser = scale_by_grid()
    gradients = {"grids.0": jnp.array([[1.0, -1.0, 0.01, 0.0]])}
    updates, _ = optimiser.update(gradients, optimiser.init(gradients))
    update = np.asarray(updates["grids.0"])[0]
    assert update[0] == pytest.approx(2**0.5, rel=1e-3)  # the root mean square of the gradients is about 2 ** -0.5
    assert update[2] == pytest.approx(0.01 * update[0], rel=1e-4)
    assert update[3] == 0
    large = {"grids.0": jnp.array([[100.0] + [0.0] * 9999])}
    assert float(optimiser.update(large, optimiser.init(large))[0]["grids.0"].max()) == MOST_UPDATE


def test_a_picture_is_expected_to_lose_bits_until_they_settle():
    config = FitConfig(100, excess_bits=1.5)
    shares = [expected_bits(config, progress) for progress in np.linspace(0, BITS_SETTLE, 7)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == expected_bits(config, 0.95) < 1 < shares[0]
    assert expected_bits(FitConfig(100), 0.1) == 1

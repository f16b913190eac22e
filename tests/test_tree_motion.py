"""train/tree's start of a frame's motion: block matching, merged blocks, refined vectors, fades; and what a fade leaves of a prediction."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from inr.constants import MEAN_CELL, MOTION_CELL
from inr.tree import faded, local_means
from inr.warp import doubled
from train.tree.matching import Scaled, field_of, read
from train.tree.merging import Pictures, merged, parted, refined
from train.tree.motion_start import FADED, fades, filled, matched_motion

SIZE, WEIGHT = (64, 96), 1e-3  # of pictures, and a rate weight


def texture(seed: int, deviation: float = 0.15) -> np.ndarray:
    """Smooth noise, which block matching can follow."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE[0] + 32, SIZE[1] + 32)), 1.5)
    return (deviation * noise / noise.std()).astype(np.float32)[16:-16, 16:-16]


def halves(picture: np.ndarray) -> np.ndarray:
    """A picture at every half of a pixel, as later frames read it."""
    return np.asarray(doubled(jnp.asarray(picture[..., None])))[..., 0]


def test_local_means_are_those_of_squares_and_linear_between_them():
    planes = np.random.default_rng(0).standard_normal((2, 20, 40)).astype(np.float32)
    found = np.asarray(local_means(jnp.asarray(planes)))
    assert found.shape == planes.shape
    whole = np.pad(planes, ((0, 0), (0, 4), (0, 0)), mode="edge")
    means = whole.reshape(2, 3, MEAN_CELL, 5, MEAN_CELL).mean((2, 4))
    at = (np.arange(40) + 0.5) / MEAN_CELL - 0.5
    across = np.stack([[np.interp(at, np.arange(5), row) for row in plane] for plane in means])
    down = (np.arange(20) + 0.5) / MEAN_CELL - 0.5
    wanted = np.stack([[np.interp(down, np.arange(3), column) for column in plane.T] for plane in across]).swapaxes(1, 2)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_fade_takes_away_details_alone():
    planes = jnp.asarray(texture(1)[None] + 0.25)
    none = np.asarray(faded(planes, jnp.full(SIZE, FADED * 4)))
    np.testing.assert_allclose(none, local_means(planes), atol=1e-6)
    assert none.mean() == pytest.approx(float(planes.mean()), abs=0.01)
    np.testing.assert_allclose(faded(planes, jnp.full(SIZE, 40.0)), planes, atol=1e-6)


def test_parted_references_have_what_a_decoder_reads_between_half_samples():
    picture = halves(texture(2))
    quarters = parted(picture)
    assert quarters.shape == tuple(2 * size - 1 for size in picture.shape)
    np.testing.assert_array_equal(quarters[::2, ::2], picture)
    assert quarters[6, 9] == pytest.approx((picture[3, 4] + picture[3, 5]) / 2)
    assert quarters[7, 9] == pytest.approx(picture[3:5, 4:6].mean())


def test_vectors_are_refined_to_quarters_of_a_pixel():
    quarters, (y, x) = parted(halves(texture(3))), np.indices(SIZE)
    frame = read(quarters, 4 * y + 5, 4 * x - 7)  # 1.25 pixels down, 1.75 to the left
    pictures = Pictures(frame, [quarters], WEIGHT)
    start = np.zeros((2, SIZE[0] // MOTION_CELL, SIZE[1] // MOTION_CELL)) + np.array([1.0, -2.0])[:, None, None]
    fields, sides = merged(pictures, [start])
    assert (sides == 64).all()
    found = refined(pictures, fields, sides, np.ones((1, *sides.shape)))[0]
    assert (found[:, :8, :8] == np.array([1.25, -1.75])[:, None, None]).all()


def test_the_motion_of_a_frame_between_two_references_is_found():
    quarters, (y, x) = parted(halves(texture(4))), np.indices(SIZE)
    moved = [read(quarters, 4 * y, 4 * x + shift) for shift in (-6, 0, 6)]
    scaled = [Scaled.of(picture) for picture in moved]
    starts = [field_of(scaled[1], scaled[k], WEIGHT, 1) for k in (0, 2)]
    planes = matched_motion(moved[1], [halves(moved[0]), halves(moved[2])], WEIGHT, starts)
    inside = planes[:, 2:6, 2:10]
    # One reference is enough, or both are read; the flows that count are those of the shift.
    for flow, used, right in ((inside[:2], inside[4] >= 0, 1.5), (inside[2:4], inside[4] <= 0, -1.5)):
        assert np.abs(flow - np.array([0.0, right])[:, None, None])[:, used].max(initial=0) <= 0.25


def test_details_fade_where_they_are_foreign():
    frame, other = texture(5), texture(6)
    prediction = frame.copy()
    prediction[:, 48:] = other[:, 48:]
    means = np.asarray(local_means(jnp.asarray(prediction[None])))[0]
    found = fades(frame - means, frame - prediction, WEIGHT)
    assert (found[:, :5] == 0).all()
    assert (found[:, 8:] == FADED).all()


def test_unused_vectors_become_those_of_their_neighbours_or_zero():
    field = np.arange(32.0).reshape(2, 4, 4)
    used = np.ones((4, 4), bool)
    used[0, 0] = False
    found = filled(field, used)
    assert found[0, 0, 0] == np.mean([1, 4, 5])
    np.testing.assert_array_equal(found[:, used], field[:, used])
    assert not filled(field, np.zeros((4, 4), bool)).any()

"""codec/weight_masks.py: masks over claimed weights, coded in the cheapest of four modes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.range_coder import RangeReader, RangeWriter
from codec.weight_masks import Claims, Mode, best_mode, normalised, read_weight_masks, weight_mask_bits, write_weight_masks

SHAPE = (3, 3, 8, 16)


def claims_of(seed: int, density: float = 0.5) -> Claims:
    generator = np.random.default_rng(seed)
    symbols = [np.rint(generator.laplace(0, 1, SHAPE) * (generator.random(SHAPE) < density)).astype(np.int32) for _ in range(2)]
    return Claims.of(symbols, generator.random(SHAPE) < 0.5)


def written_and_read(masks: dict[str, np.ndarray], claims: dict[str, Claims]) -> tuple[dict[str, np.ndarray], int]:
    """The masks as a reader gets them, and the bytes that they take."""
    writer = RangeWriter()
    write_weight_masks(writer, masks, claims)
    data = writer.getvalue()
    return read_weight_masks(RangeReader(data), claims), len(data)


@settings(max_examples=40)
@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_any_mask_comes_back_where_weights_are_claimed(seed: int, density: float, kept: float):
    claims = {"a": claims_of(seed, density), "b": claims_of(seed + 1, density)}
    masks = {"a": np.random.default_rng(seed).random(SHAPE) < kept}
    again, _ = written_and_read(masks, claims)
    expected = normalised(masks, claims)
    assert again.keys() == expected.keys()
    assert all(np.array_equal(again[name], expected[name]) for name in expected)


def channels(kept: np.ndarray) -> np.ndarray:
    return np.broadcast_to(kept, SHAPE)


@pytest.mark.parametrize(
    ("mask", "mode"),
    [
        (np.ones(SHAPE, bool), Mode.ALL),
        (np.zeros(SHAPE, bool), Mode.NONE),
        (channels(np.arange(16) % 3 == 0), Mode.CHANNELS),
        (np.random.default_rng(1).random(SHAPE) < 0.5, Mode.WEIGHTS),
    ],
)
def test_each_kind_of_mask_has_its_mode(mask: np.ndarray, mode: Mode):
    claims = claims_of(0)
    assert best_mode(mask, claims) is mode
    _, size = written_and_read({"a": mask}, {"a": claims})
    assert abs(8 * size - weight_mask_bits(mask, claims)) <= 48  # a word or two


def test_a_mask_like_the_video_before_is_cheap():
    """A mask that repeats the weights which the video before uses costs next to nothing, an independent one a bit a weight."""
    generator = np.random.default_rng(0)
    used = generator.random(SHAPE) < 0.5
    claims = Claims.of([np.ones(SHAPE, np.int32)], used)
    assert weight_mask_bits(used, claims) < 0.05 * used.size
    assert weight_mask_bits(generator.random(SHAPE) < 0.5, claims) > 0.95 * used.size


def test_weights_that_nobody_claims_take_no_bits():
    claims = Claims.of([np.zeros(SHAPE, np.int32)], np.zeros(SHAPE, bool))
    again, size = written_and_read({"a": np.zeros(SHAPE, bool)}, {"a": claims})
    assert again == {}
    assert size == 0

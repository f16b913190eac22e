"""train/tree/band_choice.py and band_rate.py: the choice of a frame's symbols by their rate and error."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from inr.spec import VideoSpec
from inr.tree import planes_of
from train.fit.context_rate import Model
from train.plan.tree import tree_spec
from train.tree.band_choice import ERROR_METRIC, curvature, first_symbols, good_moves
from train.tree.band_rate import band_bits, band_moves
from train.tree.frame_step import kinds_of
from train.tree.state import first_contexts
from train.tree.transforms import coefficient_weights, sample_coefficients

SIZE = HEIGHT, WIDTH = 32, 48
SPEC = tree_spec()
KIND, _ = kinds_of(SIZE, SPEC.frame_input)
LEVEL = jnp.float32(0.75)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.of(first_contexts(SPEC, VideoSpec(HEIGHT, WIDTH, 1)), "contexts.")


def bits(model: Model, symbols: np.ndarray) -> float:
    return float(band_bits(model, KIND, jnp.asarray(symbols), LEVEL))


def moved(symbols: np.ndarray, at: int, by: int) -> np.ndarray:
    found = symbols.copy()
    found[at] += by
    return found


def test_moves_tell_the_change_of_the_bits(model: Model):
    symbols = np.rint(np.random.default_rng(0).laplace(0, 0.4, KIND.layout.size)).astype(np.float32)
    found = band_moves(model, KIND, jnp.asarray(symbols), LEVEL)
    assert float(found.bits) == pytest.approx(bits(model, symbols), rel=1e-5)
    last = KIND.layout.size - 1  # a context of no other symbol
    for by, told in ((-1, found.down), (1, found.up)):
        assert bits(model, moved(symbols, last, by)) - bits(model, symbols) == pytest.approx(float(told[last]), abs=0.05)
    places = np.random.default_rng(1).choice(KIND.layout.size, 60, replace=False)
    true = [bits(model, moved(symbols, at, 1)) - bits(model, symbols) for at in places]
    assert np.corrcoef(true, np.asarray(found.up)[places])[0, 1] > 0.9
    assert np.median(np.abs(np.array(true) - np.asarray(found.up)[places])) < 0.6


def test_good_moves_lower_the_cost_of_a_frame(model: Model):
    random, step, rate_weight, pixels = np.random.default_rng(2), jnp.float32(0.1), 0.0016, HEIGHT * WIDTH
    blocks = np.repeat(np.repeat(random.normal(0, 0.1, (HEIGHT // 8, WIDTH // 8, 3)), 8, 0), 8, 1)
    planes = (blocks + random.normal(0, 0.06, (*SIZE, 3))).astype(np.float32)
    exact, target = sample_coefficients(KIND.layout, planes) / 0.1, jnp.moveaxis(jnp.asarray(planes), -1, 0)

    def error(symbols: Array) -> Array:
        found = planes_of(KIND.layout, symbols) * step - target
        return jnp.einsum("phw,pq,qhw->", found, ERROR_METRIC, found) / pixels

    def cost(symbols: Array) -> float:
        return float(error(symbols) + rate_weight * band_bits(model, KIND, symbols, LEVEL) / pixels)

    weights = np.ones(KIND.layout.size, np.float32)
    symbols = jnp.asarray(first_symbols(exact, weights), jnp.float32)
    curve, price = curvature(KIND.layout, jnp.asarray(weights), step, pixels), jnp.float32(rate_weight / pixels)
    costs = [cost(symbols)]
    for _ in range(8):
        moves = good_moves(jax.grad(error)(symbols), curve, band_moves(model, KIND, symbols, LEVEL), price)
        symbols += jnp.where(random.random(moves.shape) < 0.3, moves, 0)
        costs.append(cost(symbols))
    assert costs[-1] < 0.95 * costs[0]
    assert costs[-1] < 0.96 * cost(jnp.rint(jnp.asarray(exact)))
    assert max(now / before for before, now in pairwise(costs)) < 1.01


def test_a_symbol_is_worth_less_where_pixels_count_less():
    coefficients, heavy, light = np.array([1.2, -2.7, 0.9]), np.ones(3), np.full(3, 0.1)
    assert first_symbols(coefficients, heavy).tolist() == [1, -2, 0]
    assert first_symbols(coefficients, light).tolist() == [0, 0, 0]


def test_weights_of_coefficients_are_means_of_pixels():
    pixel_weights = np.ones(SIZE, np.float32)
    pixel_weights[:, :24] = 0
    weights = coefficient_weights(KIND.layout, pixel_weights)
    fine = KIND.layout.bands[-1]
    rows = weights[fine.place].reshape(fine.rows, fine.columns)
    assert (rows[:, : fine.columns // 2] == 0).all()
    assert (rows[:, fine.columns // 2 :] == 1).all()
    coarse = KIND.layout.bands[0]
    assert weights[coarse.place].reshape(coarse.rows, coarse.columns)[0].tolist() == [0, 0.5, 1]

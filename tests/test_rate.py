"""train/rate.py and train/rows.py: the differentiable twin of the coder's tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codec.frequency_tables import best_table, information
from train.fit.rate import STEP_BITS, estimated_bits, table_bits, unimodal_bits
from train.fit.packing import PackedLayout

LAYOUT = PackedLayout((("a", (7, 30)), ("b", (64,)), ("c", (5,)), ("d", (3, 3, 8, 8))))


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.laplace(0, scale, shape).astype(np.float32)
        for (name, shape), scale in zip(LAYOUT.shapes, (3, 0.2, 40, 1), strict=True)
    }


def test_packing_comes_back_and_both_ways_agree():
    packed = LAYOUT.pack({name: jnp.asarray(value) for name, value in tensors().items()})
    assert np.array_equal(packed, LAYOUT.pack_on_host(tensors()))
    assert all(np.array_equal(back, tensors()[name]) for name, back in LAYOUT.unpack(packed).items())


def test_sums_and_columns_per_tensor():
    packed = jnp.asarray(LAYOUT.pack_on_host(tensors()))
    sums = [value.sum() for value in tensors().values()]
    np.testing.assert_allclose(LAYOUT.per_tensor(packed), sums, rtol=1e-4)
    column = LAYOUT.per_row(jnp.arange(4.0))
    assert all((LAYOUT.unpack(jnp.broadcast_to(column, packed.shape))[name] == i).all() for i, name in enumerate(LAYOUT.names))


def test_at_integers_it_is_what_the_coder_spends():
    symbols = {name: np.rint(value).astype(np.int32) for name, value in tensors().items()}
    packed = jnp.asarray(LAYOUT.pack_on_host({n: s.astype(np.float32) for n, s in symbols.items()}))
    for bits, value in zip(estimated_bits(LAYOUT, packed), symbols.values(), strict=True):
        table = best_table(value)
        assert float(bits) - table_bits(table, value.size) == pytest.approx(information(value, table), rel=0.01, abs=4)


def test_between_integers_it_is_the_expected_rate_of_random_rounding():
    """With z and r held fixed the rate is linear between integers; the closed form lies on or under it."""
    layout = PackedLayout((("x", (64, 64)),))
    y = np.random.default_rng(1).laplace(0, 1.5, (64, 64)).astype(np.float32)
    low = np.floor(y)
    rounded = low + (np.random.default_rng(2).random(y.shape) < y - low)
    table = best_table(rounded.astype(np.int32))
    expected = information(rounded.astype(np.int32), table) + table_bits(table, rounded.size)
    assert float(estimated_bits(layout, jnp.asarray(y))[0]) == pytest.approx(expected, rel=0.02)


def test_a_large_tensor_of_zeros_costs_nothing():
    """A canvas begins blank, and its finest grid may have more weights than float32 tells from one less."""
    layout = PackedLayout((("x", (300, 400)),))
    blank = jnp.zeros((layout.starts[-1], 64))
    assert float(estimated_bits(layout, blank)[0]) == pytest.approx(0, abs=1)
    assert jnp.isfinite(jax.grad(lambda y: estimated_bits(layout, y).sum())(blank)).all()


def test_its_gradient_shrinks_weights_and_is_finite_everywhere():
    for matrix in (jnp.zeros((LAYOUT.starts[-1], 64)), jnp.asarray(LAYOUT.pack_on_host(tensors()))):
        gradient = jax.grad(lambda y: estimated_bits(LAYOUT, y).sum())(matrix)
        assert jnp.isfinite(gradient).all()
        assert float(jnp.vdot(gradient, matrix)) >= 0


ONE = PackedLayout((("x", (64, 64)),))


def test_what_pulls_is_the_rate_itself_where_zeros_are_at_least_as_likely_as_ones():
    y = jnp.asarray(np.random.default_rng(3).laplace(0, 1, (64, 64)).astype(np.float32))
    assert float(unimodal_bits(ONE, y)[0]) == float(estimated_bits(ONE, y)[0])


def test_it_does_not_take_a_sign_for_all_there_is():
    """Weights of +1 and -1 alone cost the coder a bit each; were that what pulls, they would stay for good."""
    y = jnp.asarray(np.random.default_rng(4).choice([-1.0, 1.0], (64, 64)).astype(np.float32))
    assert float(estimated_bits(ONE, y)[0]) == pytest.approx(4096 + STEP_BITS + 6, rel=0.01)
    assert float(unimodal_bits(ONE, y)[0]) == pytest.approx(4096 * np.log2(3) + STEP_BITS + 6, rel=0.01)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_it_never_pushes_a_weight_away_from_zero(scale):
    """Uniform weights have fewer zeros than ones on either side, and the coder's own rate pushes them outwards."""
    y = jnp.asarray(np.random.default_rng(5).uniform(0.9 * scale, 1.1 * scale, (64, 64)).astype(np.float32))
    outwards = jnp.sign(y) * jax.grad(lambda y: unimodal_bits(ONE, y).sum())(y)
    assert float(outwards.min()) >= -1e-5
    assert float(unimodal_bits(ONE, y)[0]) >= float(estimated_bits(ONE, y)[0])

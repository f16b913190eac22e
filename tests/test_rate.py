"""train/fit/rate.py and train/fit/packing.py: the rate of weights in training, and the matrix that holds all tensors."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codec.coding import Differences, StaticTable, best_coding, differences
from codec.range_coder import RangeWriter
from inr.tensor_spec import ExpectedCoding, Owner, TensorSpec, Zeros
from train.fit.packing import PackedLayout
from train.fit.rate import STEP_BITS, coded_values, coding_bits, estimated_bits, expects_differences, unimodal_bits


def layout_of(**shapes: tuple[int, ...]) -> PackedLayout:
    """A layout of tensors that belong to a weight layer, by name."""
    return PackedLayout(tuple(TensorSpec(name, shape, Owner.LAYER, Zeros()) for name, shape in shapes.items()))


LAYOUT = layout_of(a=(7, 30), b=(64,), c=(5,), d=(3, 3, 8, 8))
ONE = layout_of(x=(64, 64))


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Laplacian values of a different scale for each tensor of LAYOUT."""
    generator = np.random.default_rng(seed)
    scales = (3, 0.2, 40, 1)
    return {t.name: generator.laplace(0, scale, t.shape).astype(np.float32) for t, scale in zip(LAYOUT.tensors, scales, strict=True)}


def test_tensors_survive_packing_and_both_ways_of_packing_agree():
    packed = LAYOUT.pack({name: jnp.asarray(value) for name, value in tensors().items()})
    assert np.array_equal(packed, LAYOUT.pack_on_host(tensors()))
    assert all(np.array_equal(back, tensors()[name]) for name, back in LAYOUT.unpack(packed).items())


def test_sums_and_columns_are_by_tensor():
    packed = jnp.asarray(LAYOUT.pack_on_host(tensors()))
    sums = [value.sum() for value in tensors().values()]
    np.testing.assert_allclose(LAYOUT.per_tensor(packed), sums, rtol=1e-4)
    column = LAYOUT.per_row(jnp.arange(4.0))
    assert all((LAYOUT.unpack(jnp.broadcast_to(column, packed.shape))[name] == i).all() for i, name in enumerate(LAYOUT.names))


def test_at_integers_the_rate_is_what_the_coder_spends():
    symbols = {name: np.rint(value).astype(np.int32) for name, value in tensors().items()}
    packed = jnp.asarray(LAYOUT.pack_on_host({name: values.astype(np.float32) for name, values in symbols.items()}))
    for bits, values in zip(estimated_bits(LAYOUT, packed), symbols.values(), strict=True):
        writer, coding = RangeWriter(), StaticTable.of(values)
        coding.write(writer, exponent=0)
        assert float(bits) == pytest.approx(coding_bits(coding), rel=0.01, abs=4)
        assert 0 <= 8 * len(writer.getvalue()) - float(bits) + 0.01 * float(bits) <= 64  # a stream is whole 32-bit words


def test_a_tensor_that_changes_slowly_is_rated_by_its_differences():
    """The rate of a flow is that of the differences from frame to frame, and the coder takes them too."""
    flow = TensorSpec("flow", (9, 5, 8), Owner.VIDEO, Zeros(), coding=ExpectedCoding.DIFFERENCES)
    still = replace(flow, name="still", coding=ExpectedCoding.STATIC)
    single = replace(flow, name="single", shape=(1, 5, 8))
    assert [expects_differences(tensor) for tensor in (flow, still, single)] == [True, False, False]
    symbols = np.cumsum(np.random.default_rng(6).integers(-1, 2, flow.shape), axis=0).astype(np.int32) + 9
    layout = PackedLayout((flow, still))
    packed = jnp.asarray(layout.pack_on_host({"flow": symbols.astype(np.float32), "still": symbols.astype(np.float32)}))
    coded = layout.unpack(np.asarray(coded_values(layout, packed)))
    assert np.array_equal(coded["flow"], differences(symbols))
    assert np.array_equal(coded["still"], symbols)
    by_differences, by_symbols = map(float, estimated_bits(layout, packed))
    assert by_differences == pytest.approx(coding_bits(Differences.of(symbols)), rel=0.01, abs=4)
    assert by_symbols == pytest.approx(coding_bits(StaticTable.of(symbols)), rel=0.01, abs=4)
    assert best_coding(symbols).bits == Differences.of(symbols).bits < StaticTable.of(symbols).bits


def test_between_integers_the_rate_is_that_of_random_rounding():
    """With the zero bin and the tail held fixed, the rate is linear between integers; the closed form lies on or under it."""
    y = np.random.default_rng(1).laplace(0, 1.5, (64, 64)).astype(np.float32)
    low = np.floor(y)
    rounded = (low + (np.random.default_rng(2).random(y.shape) < y - low)).astype(np.int32)
    assert float(estimated_bits(ONE, jnp.asarray(y))[0]) == pytest.approx(coding_bits(StaticTable.of(rounded)), rel=0.02)


def test_a_large_tensor_of_zeros_costs_nothing():
    """A canvas starts blank, and its finest grid may have so many weights that float32 cannot tell one less."""
    layout = layout_of(x=(300, 400))
    blank = jnp.zeros((layout.starts[-1], 64))
    assert float(estimated_bits(layout, blank)[0]) == pytest.approx(0, abs=1)
    assert jnp.isfinite(jax.grad(lambda y: estimated_bits(layout, y).sum())(blank)).all()


def test_the_gradient_shrinks_weights_and_is_finite_everywhere():
    for matrix in (jnp.zeros((LAYOUT.starts[-1], 64)), jnp.asarray(LAYOUT.pack_on_host(tensors()))):
        gradient = jax.grad(lambda y: estimated_bits(LAYOUT, y).sum())(matrix)
        assert jnp.isfinite(gradient).all()
        assert float(jnp.vdot(gradient, matrix)) >= 0


def test_the_unimodal_rate_is_the_rate_itself_where_zeros_are_at_least_as_likely_as_ones():
    y = jnp.asarray(np.random.default_rng(3).laplace(0, 1, (64, 64)).astype(np.float32))
    assert float(unimodal_bits(ONE, y)[0]) == float(estimated_bits(ONE, y)[0])


def test_the_unimodal_rate_of_signs_alone_is_higher_than_the_coders():
    """Weights of +1 and -1 alone cost the coder a bit each; along that rate they would never come back to zero."""
    y = jnp.asarray(np.random.default_rng(4).choice([-1.0, 1.0], (64, 64)).astype(np.float32))
    assert float(estimated_bits(ONE, y)[0]) == pytest.approx(4096 + STEP_BITS + 6, rel=0.01)
    assert float(unimodal_bits(ONE, y)[0]) == pytest.approx(4096 * np.log2(3) + STEP_BITS + 6, rel=0.01)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_the_unimodal_rate_never_pushes_a_weight_away_from_zero(scale: float):
    """Uniform weights have fewer zeros than ones on either side, and the coder's own rate pushes them outwards."""
    y = jnp.asarray(np.random.default_rng(5).uniform(0.9 * scale, 1.1 * scale, (64, 64)).astype(np.float32))
    outwards = jnp.sign(y) * jax.grad(lambda y: unimodal_bits(ONE, y).sum())(y)
    assert float(outwards.min()) >= -1e-5
    assert float(unimodal_bits(ONE, y)[0]) >= float(estimated_bits(ONE, y)[0])

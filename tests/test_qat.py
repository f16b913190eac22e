"""train/fit/qat.py and train/fit/loss.py: rounding with gradients, and the error of a picture."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.quantizer import dequantize, quantize, step_size
from inr.tensor_spec import Owner, TensorSpec, Zeros
from train.fit.loss import mean_squared_error
from train.fit.packing import PackedLayout
from train.fit.qat import hard_round, quantized, soft_round, step_sizes
from train.fit.schedule import Rounding

LAYOUT = PackedLayout(tuple(TensorSpec(name, (size,), Owner.LAYER, Zeros()) for name, size in (("a", 40), ("b", 100))))
KEY = jax.random.key(0)
HARD = Rounding(jnp.float32(0), jnp.float32(0.3), jnp.bool_(True), jnp.float32(0.2), jnp.float32(0.2), jnp.bool_(True))
quantise = jax.jit(lambda rows, exponents, kind: quantized(LAYOUT, rows, exponents, KEY, kind))


def test_step_sizes_are_the_codecs_bit_for_bit():
    exponents = jnp.arange(-128, 128).astype(jnp.float32)
    assert np.array_equal(step_sizes(exponents), [step_size(e) for e in range(-128, 128)])
    slope = jax.grad(lambda e: step_sizes(e).sum())(jnp.array([8.0, 0.0]))
    np.testing.assert_allclose(slope, np.log(2) / 8 * np.array([2.0, 1.0]), rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-300, 300, width=32), min_size=100, max_size=100), st.integers(-60, 20))
def test_hard_rounding_gives_the_tensors_of_the_decoder(values: list[float], exponent: int):
    tensors = {"a": np.array(values[:40], np.float32), "b": np.array(values, np.float32)}
    rows = jnp.asarray(LAYOUT.pack_on_host(tensors))
    exponents = jnp.array([exponent + 0.3, exponent + 2.0])
    weights, _, rated = quantise(rows, exponents, HARD)
    for name, whole in (("a", exponent), ("b", exponent + 2)):
        symbols = quantize(tensors[name], whole)
        assert np.array_equal(LAYOUT.unpack(rated)[name], symbols)
        assert np.array_equal(LAYOUT.unpack(weights)[name], dequantize(symbols, whole))


def test_soft_rounding_goes_from_identity_to_rounding():
    y = jnp.linspace(-2, 2, 81)
    np.testing.assert_allclose(soft_round(y, jnp.float32(20.0)), y, atol=1e-3)
    away = y[jnp.abs(y - jnp.floor(y) - 0.5) > 0.06]
    np.testing.assert_allclose(soft_round(away, jnp.float32(0.01)), jnp.round(away), atol=1e-3)
    assert (jnp.diff(soft_round(y, jnp.float32(0.2))) >= 0).all()


def test_gradients_pass_straight_through_hard_rounding():
    assert jax.grad(lambda y: hard_round(y).sum())(jnp.array([0.2, 1.7])).tolist() == [1, 1]


def test_noise_is_uniform_over_one_step_size():
    rows = jnp.zeros((3, 64))
    weights, _, _ = quantise(rows, jnp.zeros(2), Rounding(jnp.float32(1), jnp.float32(1), jnp.bool_(False), *HARD[3:]))
    assert 0.4 < float(jnp.abs(weights).max()) <= 0.5


def test_the_clamp_lets_gradients_of_bright_pixels_pass():
    bright = jnp.full((1, 2, 2, 3), 1.3)
    frames = jnp.full((1, 2, 2, 3), 250, jnp.uint8)
    error, gradient = jax.value_and_grad(mean_squared_error)(bright, frames)
    np.testing.assert_allclose(error, (5 / 255) ** 2, rtol=1e-4)
    assert (gradient > 0).all()

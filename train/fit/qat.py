"""Quantisation-aware training: the codec's rounding, with gradients.

Early in a fit a weight in units of its step size, y, gets uniform noise one step size wide, whose expected effect and rate are those
of rounding. Then noise fades while soft rounding hardens, and the last part of the fit rounds exactly as the file does, with
gradients passing straight through. Step sizes are learned as exponents, rounded to the codec's eighths of an octave.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from codec.quantizer import MANTISSAS, MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT
from train.fit.packing import PackedLayout
from train.fit.schedule import Rounding

Rows = Float[Array, "rows 64"]


def straight_through(value: Array, x: Array) -> Array:
    """`value` in the forward pass, the gradient of `x` in the backward pass."""
    return x + lax.stop_gradient(value - x)


def step_sizes(exponents: Float[Array, " tensors"]) -> Float[Array, " tensors"]:
    """The codec's step size for each exponent rounded to an integer, bit for bit; the backward pass is smooth in the exponent."""
    whole = jnp.clip(jnp.round(exponents), MIN_EXPONENT, MAX_EXPONENT).astype(jnp.int32)
    exact = jnp.ldexp(jnp.asarray(MANTISSAS)[whole % 8], whole // 8)
    return lax.stop_gradient(exact) * jnp.exp2((exponents - lax.stop_gradient(exponents)) / 8)


def soft_round(y: Float[Array, "*shape"], temperature: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Between the identity (high temperature) and rounding (temperature towards 0).

    Agustsson and Theis, "Universally Quantized Neural Compression", NeurIPS 2020, equation 12; the temperature is the reciprocal of
    their alpha.
    """
    low = jnp.floor(y)
    centred = y - low - 0.5
    return low + 0.5 + 0.5 * jnp.tanh(centred / temperature) / jnp.tanh(0.5 / temperature)


def hard_round(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The rounding of `codec.quantizer.quantize`, straight through."""
    return straight_through(jnp.clip(jnp.round(y), -MAX_SYMBOL, MAX_SYMBOL), y)


class Quantized(NamedTuple):
    """Weights as the network sees them (`weights`); in units of step sizes (`y`); and the values whose rate counts (`rated`).

    `rated` moves from y to its rounding as noise fades: a weight could otherwise hide between integers from the rate.
    """

    weights: Rows
    y: Rows
    rated: Rows


def quantized(layout: PackedLayout, weights: Rows, exponents: Float[Array, " tensors"], key: Array, rounding: Rounding) -> Quantized:
    """Quantise `weights` by the kind of rounding that the fit has reached."""
    softness, temperature, hard = rounding
    steps = layout.per_row(step_sizes(exponents))
    y = weights / steps
    noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
    soft = softness * (y + noise) + (1 - softness) * soft_round(y, temperature)
    rounded = hard_round(y)
    return Quantized(jnp.where(hard, rounded, soft) * steps, y, softness * y + (1 - softness) * rounded)

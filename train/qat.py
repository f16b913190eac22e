"""Quantisation-aware training: the codec's rounding, with gradients.

Early on a weight in units of its step, y, gets uniform noise of one step's width, whose expected effect and rate
are those of rounding. Then noise fades while soft rounding hardens, and a tail of the fit rounds as the file will,
gradients passing straight through. Steps are learned as exponents, rounded to the codec's eighths of an octave.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from codec.quantizer import MANTISSAS, MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT
from train.rows import RowLayout


def straight_through(value: Array, x: Array) -> Array:
    """`value` going forward, the gradient of `x` going back."""
    return x + lax.stop_gradient(value - x)


def step_sizes(exponents: Float[Array, " tensors"]) -> Float[Array, " tensors"]:
    """The codec's step for each exponent rounded to an integer, bit for bit; smooth in the exponent going back."""
    whole = jnp.clip(jnp.round(exponents), MIN_EXPONENT, MAX_EXPONENT).astype(jnp.int32)
    exact = jnp.ldexp(jnp.asarray(MANTISSAS)[whole % 8], whole // 8)
    return lax.stop_gradient(exact) * jnp.exp2((exponents - lax.stop_gradient(exponents)) / 8)


def uniform_exponents(layout: RowLayout, weights: Float[Array, "rows 64"], bits: int) -> Float[Array, " tensors"]:
    """Step exponents by which each tensor's largest weight is the last of 2 ** bits - 1 symbols around zero: uniform quantisation."""
    owners = jnp.asarray(layout.owners) > 0
    largest = jnp.max(jnp.where(owners, jnp.max(jnp.abs(weights), axis=1), 0), axis=1)
    steps = jnp.maximum(largest, 1e-6) / (2 ** (bits - 1) - 1)
    return jnp.clip(jnp.ceil(8 * jnp.log2(steps)), MIN_EXPONENT, MAX_EXPONENT)


def soft_round(y: Float[Array, "*shape"], temperature: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Between the identity (high temperature) and rounding (towards 0).

    Agustsson and Theis, "Universally Quantized Neural Compression", NeurIPS 2020, equation 12; the temperature is
    the reciprocal of their alpha.
    """
    low = jnp.floor(y)
    centred = y - low - 0.5
    return low + 0.5 + 0.5 * jnp.tanh(centred / temperature) / jnp.tanh(0.5 / temperature)


def hard_round(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`codec.quantizer.quantize`'s rounding, straight through."""
    return straight_through(jnp.clip(jnp.round(y), -MAX_SYMBOL, MAX_SYMBOL), y)


def quantized(
    layout: RowLayout,
    weights: Float[Array, "rows 64"],
    exponents: Float[Array, " tensors"],
    key: Array,
    softness: Float[Array, ""],
    temperature: Float[Array, ""],
    hard: Bool[Array, ""],
) -> tuple[Float[Array, "rows 64"], Float[Array, "rows 64"], Float[Array, "rows 64"]]:
    """Weights as the network should see them; weights in units of steps (y); and at what to take their rate.

    The last moves from y to its rounding as noise fades: a weight could otherwise hide between integers what the
    rate does not see.
    `softness` 1 is all noise, 0 is none; soft rounding at `temperature` is mixed in as noise fades; `hard` rounds.
    """
    steps = layout.per_row(step_sizes(exponents))
    y = weights / steps
    noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
    soft = softness * (y + noise) + (1 - softness) * soft_round(y, temperature)
    rounded = hard_round(y)
    return jnp.where(hard, rounded, soft) * steps, y, softness * y + (1 - softness) * rounded

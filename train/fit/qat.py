"""Quantisation-aware training: the codec's rounding, with gradients.

Let y be a weight divided by its step size. Early in a fit, uniform noise from -0.5 to 0.5 is added to y; the expected picture and rate are
then about those of rounding. Later, soft rounding replaces the noise and becomes harder. In the last part of the fit, y is rounded exactly
as in the file, and gradients pass the rounding unchanged. Step sizes are learned as exponents, which are rounded to integers as in the
file: to eighths of an octave.
"""

from collections.abc import Mapping
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
    """The value of `value` with the gradient of `x` (straight-through estimator)."""
    return x + lax.stop_gradient(value - x)


def step_sizes(exponents: Float[Array, " tensors"]) -> Float[Array, " tensors"]:
    """The codec's step size of each exponent, rounded to an integer, bit for bit. The gradient is that of 2 ** (exponent / 8)."""
    whole = jnp.clip(jnp.round(exponents), MIN_EXPONENT, MAX_EXPONENT).astype(jnp.int32)
    exact = jnp.ldexp(jnp.asarray(MANTISSAS)[whole % 8], whole // 8)
    return lax.stop_gradient(exact) * jnp.exp2((exponents - lax.stop_gradient(exponents)) / 8)


def soft_round(y: Float[Array, "*shape"], temperature: Float[Array, ""]) -> Float[Array, "*shape"]:
    """A smooth function between the identity (high temperature) and rounding (temperature near 0).

    It is equation 12 of Agustsson and Theis, "Universally Quantized Neural Compression", NeurIPS 2020; `temperature` is the reciprocal of
    their alpha.
    """
    low = jnp.floor(y)
    centred = y - low - 0.5
    return low + 0.5 + 0.5 * jnp.tanh(centred / temperature) / jnp.tanh(0.5 / temperature)


def hard_round(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`y` rounded and limited as by `codec.quantizer.quantize`, with the gradient of the identity."""
    return straight_through(jnp.clip(jnp.round(y), -MAX_SYMBOL, MAX_SYMBOL), y)


class Quantized(NamedTuple):
    """Quantised weights in packed rows.

    `weights` are those that the network uses. `y` are the weights before quantisation, divided by their step sizes. `rated` are the values
    in the same unit whose rate the loss counts. They change from y to the rounded y as the noise fades; otherwise, the rate of a weight
    between two integers could differ from that of its symbol.
    """

    weights: Rows
    y: Rows
    rated: Rows


def quantized(layout: PackedLayout, weights: Rows, exponents: Float[Array, " tensors"], key: Array, rounding: Rounding) -> Quantized:
    """`weights` quantised by `rounding`, with step sizes from `exponents` and noise from the random key `key`."""
    softness, temperature, hard = rounding.softness, rounding.temperature, rounding.hard
    steps = layout.per_row(step_sizes(exponents))
    y = weights / steps
    noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
    soft = softness * (y + noise) + (1 - softness) * soft_round(y, temperature)
    # The weights of a context model are free of noise, which would drown its predictions.
    soft = jnp.where((layout.per_row(jnp.asarray(layout.learned_steps)) > 0) & rounding.weights, soft, y)
    rounded = hard_round(y)
    return Quantized(jnp.where(hard, rounded, soft) * steps, y, softness * y + (1 - softness) * rounded)


def rounded_grids(grids: Mapping[str, Float[Array, "h w"]], key: Array, rounding: Rounding) -> dict[str, Float[Array, "h w"]]:
    """Grids that are coded with contexts, in symbols: softly rounded with noise, or rounded exactly as in the file, without a gradient.

    The soft rounding is that of Cool-Chic: of values, and again of the result plus noise. The noise is uniform. Exactly rounded grids get
    no gradient, because grids that are trained through exact rounding grow.
    """
    width, temperature = 2 * 3**0.5 * rounding.grid_noise, rounding.grid_temperature

    def one(index: int, values: Float[Array, "h w"]) -> Float[Array, "h w"]:
        noise = jax.random.uniform(jax.random.fold_in(key, index), values.shape, minval=-0.5, maxval=0.5)
        soft = soft_round(soft_round(values, temperature) + width * noise, temperature)
        hard = lax.stop_gradient(jnp.clip(jnp.round(values), -MAX_SYMBOL, MAX_SYMBOL))
        return lax.optimization_barrier(jnp.where(rounding.hard, hard, soft))

    return {name: one(index, values) for index, (name, values) in enumerate(grids.items())}

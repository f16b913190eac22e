"""The expected rate of weights during a fit, in bits: the differentiable counterpart of `codec.coding`.

The coder's distribution of symbols is a two-sided geometric one with a probability of its own for zero, the zero bin (see
`codec.frequency_tables`). For magnitudes from 1 on, -log2 P is linear in the magnitude. This module interpolates the rate linearly between
integers, so it is exact at every integer. At a real number y, it is the expected rate of y rounded at random: up or down, with
probabilities for which the mean is y. Uniform noise simulates the same rounding (Balle et al., ICLR 2017). The rate of a tensor depends on
only two sums: the number of its zeros, and the sum of max(magnitude - 1, 0). The best zero bin and the best tail for these sums have a
closed form, so no parameter of the distribution is learned.

The gradient of this rate leads to bad minima, however. If fewer than a third of a tensor's symbols are zero, a zero costs more bits than a
one. At a high rate weight, every weight then moves to +1 or -1, which cost one bit each, and stays there. The fit therefore uses the
gradient of another rate: that under the best *unimodal* distribution, in which zero is the most probable symbol.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from codec.coding import Coding, has_differences
from codec.frequency_tables import precision
from inr.tensor_spec import ExpectedCoding, TensorSpec
from train.fit.packing import ROW, PackedLayout

STEP_BITS = 7.4  # bits of a step size's exponent and of the flag for differences, in a tensor with a non-zero symbol
TINY = 1e-3  # least value of each sum, in symbols: logarithms stay finite in a tensor with only zeros, or without a zero


def coded_values(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, "rows 64"]:
    """The values that the coder is expected to code: each tensor's symbols, or their differences along the first axis.

    `y` holds the weights divided by their step sizes.
    """
    for index, tensor in enumerate(layout.tensors):
        if expects_differences(tensor):
            start, end = layout.starts[index], layout.starts[index + 1]
            flat, entry = y[start:end].ravel(), tensor.size // tensor.shape[0]
            before = jnp.where(jnp.arange(flat.size) < tensor.size, jnp.pad(flat[:-entry], (entry, 0)), 0)
            y = y.at[start:end].set((flat - before).reshape(-1, ROW))
    return y


def expects_differences(tensor: TensorSpec) -> bool:
    """Whether the rate of `tensor` is that of differences along its first axis, which the coder is expected to choose."""
    return tensor.coding is ExpectedCoding.DIFFERENCES and has_differences(tensor.shape)


class Counts(NamedTuple):
    """For each tensor, the sums from which its rate follows.

    `size` is its number of weights. `zeros` and `nonzeros` are its numbers of zero and non-zero symbols. `beyond` is the sum of
    max(magnitude - 1, 0) over its symbols.
    """

    size: Float[Array, " tensors"]
    zeros: Float[Array, " tensors"]
    nonzeros: Float[Array, " tensors"]
    beyond: Float[Array, " tensors"]


def counts(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Counts:
    """The expected sums if each weight is rounded up or down at random; `y` holds the weights divided by their step sizes."""
    magnitude = jnp.abs(coded_values(layout, y))
    size = jnp.asarray(layout.sizes, jnp.float32)
    zeros = layout.per_tensor(jnp.maximum(1 - magnitude, 0)) - layout.padding
    # `nonzeros` has its own limits, because `size - TINY` equals `size` in float32 for a large tensor.
    zeros, nonzeros = jnp.clip(zeros, TINY, size), jnp.clip(size - zeros, TINY, size)
    return Counts(size, zeros, nonzeros, layout.per_tensor(jnp.maximum(magnitude - 1, 0)) + TINY)


def estimated_bits(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """The expected bits of each tensor, beyond the bits of a tensor whose symbols are all zero.

    `y` holds the weights divided by their step sizes.
    """
    count = counts(layout, y)
    return best_bits(count) + side_bits(layout, count)


def unimodal_bits(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """The expected bits of each tensor as by `estimated_bits`, but under the best distribution with zero as the most probable symbol.

    Let p be the probability of zero, and r the ratio between the probabilities of successive magnitudes. The symbols 1 and -1 then have the
    probability (1 - p) (1 - r) / 2 each. If the best p is below this probability, p is set equal to it:

        P(k) = (1 - r) / (3 - r) * r ** max(|k| - 1, 0)

    The best r of this distribution solves a quadratic equation.
    """
    count = counts(layout, y)
    ratio = count.beyond / (count.nonzeros + count.beyond)
    is_unimodal = count.zeros / count.size >= (1 - ratio) / (3 - ratio)
    mean = count.beyond / count.size
    b = 4 * mean + 2
    r = 6 * mean / (b + jnp.sqrt(b * b - 12 * mean * mean))
    level = -count.size * jnp.log2((1 - r) / (3 - r)) - count.beyond * jnp.log2(r)
    return jnp.where(is_unimodal, best_bits(count), level) + side_bits(layout, count)


def best_bits(count: Counts) -> Float[Array, " tensors"]:
    """The bits of each tensor's symbols under the zero bin and the tail that give the fewest bits."""
    # The entropy of "zero or not", one bit for each sign, and a geometric code whose values have the mean `beyond / nonzeros`.
    zero_or_not = -count.zeros * jnp.log2(count.zeros / count.size) - count.nonzeros * jnp.log2(count.nonzeros / count.size)
    mean = count.beyond / count.nonzeros
    tail = count.nonzeros * jnp.log2(1 + mean) + count.beyond * jnp.log2(1 + 1 / mean)
    return zero_or_not + count.nonzeros + tail


def side_bits(layout: PackedLayout, count: Counts) -> Float[Array, " tensors"]:
    """The expected bits of each tensor's step size and frequency table.

    Only a tensor with a non-zero symbol has a step size and a zero bin; only a tensor with a magnitude above 1 has a tail.
    """
    zero_bits, tail_bits = np.array([precision(size) for size in layout.sizes.tolist()], np.float32).T
    return (STEP_BITS + zero_bits) * jnp.minimum(count.nonzeros, 1) + tail_bits * jnp.minimum(count.beyond, 1)


def coding_bits(coding: Coding) -> float:
    """The bits of the symbols, the step size and the table under `coding`, counted as by `estimated_bits`."""
    parameters = coding.parameter_bits
    return coding.bits + (STEP_BITS + sum(parameters) if parameters else 0.0)

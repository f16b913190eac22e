"""The rate of weights in training: the differentiable twin of `codec.coding`.

The coder's distribution (two-sided geometric with a zero bin of its own, `codec.frequency_tables`) makes -log2 P linear in the
magnitude beyond 1. Interpolated linearly between integers it is exact at every integer. At a real y it is the expected rate of y
rounded up or down at random in proportion to its distance, which is the rounding that uniform noise stands for (Balle et al., ICLR
2017). The rate needs only two sums over a tensor: how many weights are zero, and how much magnitude lies beyond 1. The best zero bin
and tail for these sums have a closed form, so nothing about the distribution is learned.

Descending along that rate leads astray, though. Where fewer than a third of a tensor's symbols are zero, zeros cost more than ones,
and under pressure every weight ends at +1 or -1, which cost a bit each, and never comes back. The gradient is therefore taken of the
rate under the best *unimodal* distribution: one whose likeliest symbol is zero.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from codec.coding import StaticTable, has_differences
from codec.frequency_tables import precision
from inr.layout import Coding, TensorSpec
from train.fit.packing import ROW, PackedLayout

STEP_BITS = 7.4  # of a step size's exponent and of the differences bit: side information of a tensor that is not blank
TINY = 1e-3  # symbols; keeps logarithms finite where a tensor is all zero, or has no zero


def coded_values(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, "rows 64"]:
    """The values that the coder is expected to get, from weights `y` in units of their step sizes: symbols or differences."""
    for index, tensor in enumerate(layout.tensors):
        if expects_differences(tensor):
            start, end = layout.starts[index], layout.starts[index + 1]
            flat, entry = y[start:end].ravel(), tensor.size // tensor.shape[0]
            before = jnp.where(jnp.arange(flat.size) < tensor.size, jnp.pad(flat[:-entry], (entry, 0)), 0)
            y = y.at[start:end].set((flat - before).reshape(-1, ROW))
    return y


def expects_differences(tensor: TensorSpec) -> bool:
    """Whether a fit expects the coder to take differences along the tensor's first axis."""
    return tensor.coding is Coding.DIFFERENCES and has_differences(tensor.shape)


class Counts(NamedTuple):
    """The sums over each tensor that a rate needs: its size, zero and non-zero symbols, and magnitude beyond 1."""

    size: Float[Array, " tensors"]
    zeros: Float[Array, " tensors"]
    nonzeros: Float[Array, " tensors"]
    beyond: Float[Array, " tensors"]


def counts(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Counts:
    """Expected counts of weights `y`, in units of their step sizes, if each is rounded up or down at random."""
    magnitude = jnp.abs(coded_values(layout, y))
    size = jnp.asarray(layout.sizes, jnp.float32)
    zeros = layout.per_tensor(jnp.maximum(1 - magnitude, 0)) - layout.padding
    # Each is clipped by itself: the size of a large tensor less TINY is that size again in float32.
    zeros, nonzeros = jnp.clip(zeros, TINY, size), jnp.clip(size - zeros, TINY, size)
    return Counts(size, zeros, nonzeros, layout.per_tensor(jnp.maximum(magnitude - 1, 0)) + TINY)


def estimated_bits(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """Expected bits of each tensor whose weights are `y` in units of its step size, beyond the bits of a blank tensor."""
    count = counts(layout, y)
    return best_bits(count) + side_bits(layout, count)


def unimodal_bits(layout: PackedLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """As `estimated_bits`, under the best distribution in which no symbol is likelier than zero.

    With p the zero bin and r the tail's ratio, a one of either sign has probability (1 - p)(1 - r) / 2. Where the best p is less
    than that, both are made equal: P(k) = (1 - r) / (3 - r) r^max(|k| - 1, 0), whose best r solves a quadratic equation.
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
    """Bits of the symbols under the best zero bin and tail."""
    # n H(zero) for which symbols are zero, a bit for each sign, and a geometric code of mean `beyond / nonzeros`.
    which = -count.zeros * jnp.log2(count.zeros / count.size) - count.nonzeros * jnp.log2(count.nonzeros / count.size)
    mean = count.beyond / count.nonzeros
    tail = count.nonzeros * jnp.log2(1 + mean) + count.beyond * jnp.log2(1 + 1 / mean)
    return which + count.nonzeros + tail


def side_bits(layout: PackedLayout, count: Counts) -> Float[Array, " tensors"]:
    """Expected bits of step sizes and tables: a table comes with the first symbol, its tail with the first beyond 1."""
    zero_bits, tail_bits = np.array([precision(size) for size in layout.sizes.tolist()], np.float32).T
    return (STEP_BITS + zero_bits) * jnp.minimum(count.nonzeros, 1) + tail_bits * jnp.minimum(count.beyond, 1)


def coding_bits(coding: StaticTable) -> float:
    """Bits of a known coding, by the same account as `estimated_bits`: symbols, step size and table."""
    parameters = coding.parameter_bits
    return coding.bits + (STEP_BITS + sum(parameters) if parameters else 0.0)

"""The rate of weights in training: the differentiable twin of `codec.prob`.

The coder's distribution (two-sided geometric with a zero bin of its own) makes -log2 P linear in the magnitude
beyond 1. Interpolated linearly between integers it is therefore exact at every integer, and at a real y it is the
expected rate of y rounded up or down at random in proportion to its distance (the rounding that uniform noise
stands for: Balle et al., ICLR 2017). All it takes from the weights is how many are zero and how much magnitude lies
beyond 1; the best zero bin and tail for those two sums have a closed form, so that nothing about the
distribution needs to be learned.

Descending along that rate leads astray, though: where fewer than a third of a tensor's symbols are zero, zeros are
dearer than ones, and under pressure every weight ends at +1 or -1, a bit each, with no way back. What pulls at
the weights is therefore the rate under the best distribution among those whose likeliest symbol is zero.
"""

from math import prod
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from codec.prob import Table, precision
from train.rows import ROW, RowLayout

STEP_BITS = 7.4  # of a step's exponent, and of whether differences follow: side information of a tensor that is not blank
DIFFERENCED = ("canvas.flows.",)  # what the coder will take as differences along time
TINY = 1e-3  # symbols; keeps logarithms finite where a tensor is all zero, or has no zero


def differenced(layout: RowLayout, y: Float[Array, "rows 64"]) -> Float[Array, "rows 64"]:
    """`y` with each frame's flow as its difference from the one before it: how such a tensor will be coded."""
    for index, (name, shape) in enumerate(layout.shapes):
        if name.startswith(DIFFERENCED) and shape[0] > 1:
            start, end = layout.starts[index], layout.starts[index + 1]
            flat, frame = y[start:end].ravel(), prod(shape[1:])
            behind = jnp.where(jnp.arange(flat.size) < prod(shape), jnp.pad(flat[:-frame], (frame, 0)), 0)
            y = y.at[start:end].set((flat - behind).reshape(-1, ROW))
    return y


class Counts(NamedTuple):
    """What a rate takes from each tensor: its size, how many symbols are zero and how many are not, magnitude beyond 1."""

    size: Float[Array, " tensors"]
    zeros: Float[Array, " tensors"]
    nonzeros: Float[Array, " tensors"]
    beyond: Float[Array, " tensors"]


def counts(layout: RowLayout, y: Float[Array, "rows 64"]) -> Counts:
    """Expected counts of weights that are `y` in units of their steps, rounded up or down at random."""
    magnitude = jnp.abs(differenced(layout, y))
    size = jnp.asarray(layout.sizes, jnp.float32)
    zeros = layout.per_tensor(jnp.maximum(1 - magnitude, 0)) - layout.padding
    # Each clipped by itself: the size of a large tensor less TINY is that size again in float32.
    zeros, nonzeros = jnp.clip(zeros, TINY, size), jnp.clip(size - zeros, TINY, size)
    return Counts(size, zeros, nonzeros, layout.per_tensor(jnp.maximum(magnitude - 1, 0)) + TINY)


def estimated_bits(layout: RowLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """Expected bits of each tensor whose weights, in units of its step, are `y`, over what blank tensors take."""
    count = counts(layout, y)
    return best_bits(count) + side_bits(layout, count)


def unimodal_bits(layout: RowLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """As `estimated_bits`, but under no distribution that holds a zero for less likely than a one.

    With p the zero bin and r the tail's ratio, a one of either sign has (1 - p)(1 - r) / 2. Where the best p is less
    than that, they are made equal: P(k) = (1 - r) / (3 - r) r^max(|k| - 1, 0), whose best r solves a quadratic.
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
    """Bits under the best zero bin and tail."""
    # n H(zero) for which are zero, a bit for each sign, and a geometric code of mean `beyond / nonzeros`.
    which = -count.zeros * jnp.log2(count.zeros / count.size) - count.nonzeros * jnp.log2(count.nonzeros / count.size)
    mean = count.beyond / count.nonzeros
    tail = count.nonzeros * jnp.log2(1 + mean) + count.beyond * jnp.log2(1 + 1 / mean)
    return which + count.nonzeros + tail


def side_bits(layout: RowLayout, count: Counts) -> Float[Array, " tensors"]:
    """Expected bits of steps and tables: a table comes with the first symbol, its tail with the first beyond 1."""
    zero_bits, tail_bits = np.array([precision(size) for size in layout.sizes.tolist()], np.float32).T
    return (STEP_BITS + zero_bits) * jnp.minimum(count.nonzeros, 1) + tail_bits * jnp.minimum(count.beyond, 1)


def table_bits(table: Table, size: int) -> float:
    """What `side_bits` expects, of a table that is known, of `size` values."""
    zero_bits, tail_bits = precision(size)
    return (STEP_BITS + zero_bits) * (table.magnitude > 0) + tail_bits * (table.magnitude > 1)

"""The rate of weights in training: the differentiable twin of `codec.prob`.

The coder's distribution (two-sided geometric with a zero bin of its own) makes -log2 P linear in the magnitude
beyond 1. Interpolated linearly between integers it is therefore exact at every integer, and at a real y it is the
expected rate of y rounded up or down at random in proportion to its distance (the rounding that uniform noise
stands for: Balle et al., ICLR 2017). All it takes from the weights is how many are zero and how much magnitude lies
beyond 1; the best zero bin and tail for those two sums have a closed form, so that nothing about the
distribution needs to be learned.
"""

from math import prod

import jax.numpy as jnp
from jaxtyping import Array, Float

from codec.prob import MAGNITUDE_FIELD, TAIL_BITS, ZERO_BITS
from codec.quantizer import EXPONENT_BITS
from train.rows import ROW, RowLayout

TABLE_BITS = EXPONENT_BITS + 1 + ZERO_BITS + TAIL_BITS + MAGNITUDE_FIELD  # side information a tensor
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


def estimated_bits(layout: RowLayout, y: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
    """Expected bits of each tensor whose weights, in units of its step, are `y`; side information included."""
    magnitude = jnp.abs(differenced(layout, y))
    size = jnp.asarray(layout.sizes, jnp.float32)
    zeros = layout.per_tensor(jnp.maximum(1 - magnitude, 0)) - layout.padding
    # Each clipped by itself: the size of a large tensor less TINY is that size again in float32.
    zeros, nonzeros = jnp.clip(zeros, TINY, size), jnp.clip(size - zeros, TINY, size)
    beyond = layout.per_tensor(jnp.maximum(magnitude - 1, 0)) + TINY
    # n H(zero) for which are zero, a bit for each sign, and a geometric code of mean `beyond / nonzeros`.
    which = -zeros * jnp.log2(zeros / size) - nonzeros * jnp.log2(nonzeros / size)
    mean = beyond / nonzeros
    tail = nonzeros * jnp.log2(1 + mean) + beyond * jnp.log2(1 + 1 / mean)
    return which + nonzeros + tail + TABLE_BITS

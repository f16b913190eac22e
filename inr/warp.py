"""Read a picture at displaced positions, with gradients for both the picture and the displacement.

The reverse pass is written out, with barriers that keep a gather or scatter from being fused into what uses it: left to
itself XLA takes three times as long on a CPU.
"""

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier
from jaxtyping import Array, Float, Int

Picture = Float[Array, "h w c"]
Field = Float[Array, "t h w"]


def corners(dx: Field, dy: Field) -> tuple[Int[Array, " n"], Float[Array, "n 1"], Float[Array, "n 1"]]:
    """For every position displaced by (dx, dy) pixels and kept inside: the index of its upper left corner, and how
    far right of and below that corner it lies, from 0 to 1."""
    h, w = dx.shape[1:]
    y = jnp.clip(jnp.arange(h, dtype=jnp.float32)[:, None] + dy, 0, h - 1)
    x = jnp.clip(jnp.arange(w, dtype=jnp.float32) + dx, 0, w - 1)
    top, left = y.astype(jnp.int32), x.astype(jnp.int32)
    return (top * w + left).ravel(), (x - left).reshape(-1, 1), (y - top).reshape(-1, 1)


@jax.custom_vjp
def warp(picture: Picture, dx: Field, dy: Field) -> Float[Array, "t h w c"]:
    """`picture` read at (x + dx, y + dy), bilinearly; positions outside read its edge."""
    return _forward(picture, dx, dy)[0]


def _forward(picture: Picture, dx: Field, dy: Field):
    index, right, below = corners(dx, dy)
    edged = jnp.pad(picture, ((0, 1), (0, 1), (0, 0)))  # read with no weight, but read
    around = (edged[:-1, :-1], edged[:-1, 1:], edged[1:, :-1], edged[1:, 1:])
    table = optimization_barrier(jnp.concatenate(around, axis=-1).reshape(-1, 4 * picture.shape[2]))
    read = optimization_barrier(table[index])
    a, b, c, d = jnp.split(read, 4, axis=-1)
    upper, lower = a + (b - a) * right, c + (d - c) * right
    out = (upper + (lower - upper) * below).reshape(*dx.shape, -1)
    return out, (picture.shape, read, index, right, below)


def _reverse(saved, slope: Float[Array, "t h w c"]):
    (h, w, channels), read, index, right, below = saved
    fields = slope.shape[:3]
    slope = optimization_barrier(slope.reshape(-1, channels))
    weights = jnp.stack([(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below], axis=1)
    # One row of all four corners a position: one scatter instead of four.
    pulled = optimization_barrier((weights * slope[:, None]).reshape(-1, 4 * channels))
    sums = optimization_barrier(jnp.zeros((h * w, 4 * channels)).at[index].add(pulled)).reshape(h, w, 4, channels)
    pads = ((0, 0), (0, 1), (1, 0), (1, 1))  # how far down and right of its index a corner lies
    picture = sum(jnp.pad(sums[:, :, k], ((y, 0), (x, 0), (0, 0)))[:h, :w] for k, (y, x) in enumerate(pads))
    # Channel by channel: a sum over a last axis of 3 is slow on a CPU.
    a, b, c, d = (sum(slope[:, i] * read[:, k * channels + i] for i in range(channels)) for k in range(4))
    right, below = right[:, 0], below[:, 0]
    dx = (b - a) * (1 - below) + (d - c) * below
    dy = (c - a) * (1 - right) + (d - b) * right
    return picture, dx.reshape(fields), dy.reshape(fields)


warp.defvjp(_forward, _reverse)

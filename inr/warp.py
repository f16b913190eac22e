"""Read a picture at displaced positions, with gradients for both the picture and the displacement.

Reverse passes are written out, with barriers that keep a gather or scatter from being fused into what uses it: left to
itself XLA takes three times as long on a CPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import optimization_barrier
from jaxtyping import Array, Float

Picture = Float[Array, "m n c"]
Field = Float[Array, "t h w"]

HALF = (1 / 32, -5 / 32, 20 / 32, 20 / 32, -5 / 32, 1 / 32)  # H.264's filter for samples between two (ITU-T H.264, 8.4.2.2.1)
BEFORE, AFTER = 2, 3  # of the entries that it takes, those before and after the one that it stands at


def doubled(picture: Float[Array, "h w c"]) -> Float[Array, "2*h-1 2*w-1 c"]:
    """`picture` with samples between its own: what is read bilinearly from it is blurred far less."""
    height, width, channels = picture.shape
    rows = optimization_barrier(picture.reshape(height, width * channels))
    rows = jnp.stack([rows, between(rows, 0, 1)], axis=1).reshape(2 * height, width * channels)
    rows = optimization_barrier(rows[: 2 * height - 1])
    columns = between(rows, 1, channels).reshape(2 * height - 1, width, channels)
    both = jnp.stack([rows.reshape(columns.shape), columns], axis=2).reshape(2 * height - 1, 2 * width, channels)
    return optimization_barrier(both[:, : 2 * width - 1])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def between(x: Float[Array, "m n"], axis: int, apart: int) -> Float[Array, "m n"]:
    """What lies half-way between entries that are `apart` along `axis`; the ends repeat beyond its ends."""
    size = x.shape[axis]
    first, last = _part(x, axis, 0, apart), _part(x, axis, size - apart, apart)
    edged = jnp.concatenate([first] * BEFORE + [x] + [last] * AFTER, axis=axis)
    return optimization_barrier(sum(tap * _part(edged, axis, k * apart, size) for k, tap in enumerate(HALF)))


def _between_reverse(axis: int, apart: int, _: None, slope: Float[Array, "m n"]) -> tuple[Float[Array, "m n"]]:
    size, reach = slope.shape[axis], (BEFORE + AFTER) * apart
    around = jnp.pad(slope, [(reach, reach) if axis == other else (0, 0) for other in (0, 1)])
    shifts = (_part(around, axis, reach - k * apart, size + reach) for k in range(len(HALF)))
    edged = optimization_barrier(sum(tap * shift for tap, shift in zip(HALF, shifts, strict=True)))
    inside = _part(edged, axis, BEFORE * apart, size)
    first = sum(_part(edged, axis, k * apart, apart) for k in range(BEFORE + 1))
    last = sum(_part(edged, axis, size + (BEFORE - 1 + k) * apart, apart) for k in range(AFTER + 1))
    if size == apart:  # one entry: all of it lies at both ends
        return (optimization_barrier(first + last - inside),)
    middle = _part(inside, axis, apart, size - 2 * apart)
    return (optimization_barrier(jnp.concatenate([first, middle, last], axis=axis)),)


between.defvjp(lambda x, axis, apart: (between(x, axis, apart), None), _between_reverse)


def _part(x: Float[Array, "m n"], axis: int, start: int, size: int) -> Float[Array, "m n"]:
    return lax.slice_in_dim(x, start, start + size, axis=axis)


def warp(picture: Picture, dx: Field, dy: Field, samples: int = 1, corner: tuple[int, int] = (0, 0)) -> Float[Array, "t h w c"]:
    """`picture` read at (x + dx, y + dy) pixels, bilinearly between its samples; positions outside read its edge.

    It has so many `samples` a pixel along each axis, and frames have their upper left pixel at `corner` (row, column) in it.
    """
    h, w = dx.shape[1:]
    rows, columns = (jnp.arange(size, dtype=jnp.float32) + first for size, first in zip((h, w), corner, strict=True))
    return read(picture, samples * (columns + dx), samples * (rows[:, None] + dy))


@jax.custom_vjp
def read(picture: Picture, x: Field, y: Field) -> Float[Array, "t h w c"]:
    """`picture` at positions (x, y) in samples, kept inside."""
    return _forward(picture, x, y)[0]


def _forward(picture: Picture, x: Field, y: Field):
    height, width, channels = picture.shape
    within = tuple((p >= 0) & (p < size - 1) for p, size in ((x, width), (y, height)))
    held_x, held_y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    top, left = held_y.astype(jnp.int32), held_x.astype(jnp.int32)
    index, right, below = (top * width + left).ravel(), (held_x - left).reshape(-1, 1), (held_y - top).reshape(-1, 1)
    # Pairs of samples side by side, a row of them below the last: read with no weight, but read.
    edged = jnp.pad(picture, ((0, 1), (0, 1), (0, 0)))
    beside = optimization_barrier(jnp.concatenate([edged[:, :-1], edged[:, 1:]], axis=-1).reshape(-1, 2 * channels))
    pairs = optimization_barrier(beside[index]), optimization_barrier(beside[index + width])
    upper, lower = (a + (b - a) * right for a, b in (jnp.split(pair, 2, axis=-1) for pair in pairs))
    out = (upper + (lower - upper) * below).reshape(*x.shape, -1)
    return out, (picture.shape, within, pairs, index, right, below)


def _reverse(saved, slope: Float[Array, "t h w c"]):
    (height, width, channels), within, pairs, index, right, below = saved
    fields = slope.shape[:3]
    slope = optimization_barrier(slope.reshape(-1, channels))
    sums = jnp.zeros(((height + 1) * width, 2 * channels))
    for rows, weight in ((0, 1 - below), (width, below)):
        # One row of both samples a position: one scatter instead of two.
        pulled = optimization_barrier(jnp.concatenate([(1 - right) * weight * slope, right * weight * slope], axis=1))
        sums = optimization_barrier(sums.at[index + rows].add(pulled))
    sums = sums.reshape(height + 1, width, 2, channels)[:height]
    picture = sums[:, :, 0] + jnp.pad(sums[:, :, 1], ((0, 0), (1, 0), (0, 0)))[:, :width]
    # Channel by channel: a sum over a last axis of 3 is slow on a CPU.
    (a, b), (c, d) = ([sum(slope[:, i] * pair[:, k * channels + i] for i in range(channels)) for k in (0, 1)] for pair in pairs)
    right, below = right[:, 0], below[:, 0]
    along = (b - a) * (1 - below) + (d - c) * below, (c - a) * (1 - right) + (d - b) * right
    # What is held at an edge moves nothing.
    x, y = (jnp.where(inside, part.reshape(fields), 0) for inside, part in zip(within, along, strict=True))
    return picture, x, y


read.defvjp(_forward, _reverse)

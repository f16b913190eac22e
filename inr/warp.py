"""Reads a picture at displaced positions, with gradients for both the picture and the displacement.

The reverse passes are written by hand. Optimisation barriers keep XLA from fusing a gather or scatter with other operations, because the
fused code takes three times as long on a CPU.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import optimization_barrier
from jaxtyping import Array, Float

from inr.constants import HALF_SAMPLE_TAPS, TAPS_AFTER, TAPS_BEFORE

Picture = Float[Array, "m n c"]
Field = Float[Array, "t h w"]


def doubled(picture: Float[Array, "h w c"]) -> Float[Array, "2*h-1 2*w-1 c"]:
    """`picture` with an interpolated sample between each two neighbouring samples, along rows and columns.

    A bilinear read from the result blurs less than a bilinear read from `picture`.
    """
    height, width, channels = picture.shape
    rows = optimization_barrier(picture.reshape(height, width * channels))
    rows = jnp.stack([rows, half_samples(rows, 0, 1)], axis=1).reshape(2 * height, width * channels)
    rows = optimization_barrier(rows[: 2 * height - 1])
    columns = half_samples(rows, 1, channels).reshape(2 * height - 1, width, channels)
    both = jnp.stack([rows.reshape(columns.shape), columns], axis=2).reshape(2 * height - 1, 2 * width, channels)
    return optimization_barrier(both[:, : 2 * width - 1])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def half_samples(x: Float[Array, "m n"], axis: int, spacing: int) -> Float[Array, "m n"]:
    """For each entry of `x`, the interpolated value half-way between this entry and the entry `spacing` places later along `axis`.

    The first and the last `spacing` entries are repeated beyond the ends. The filter is that of H.264: see `inr.constants`.
    """
    size, before, after = x.shape[axis], TAPS_BEFORE * spacing, TAPS_AFTER * spacing
    first, last = [_slice(x, axis, 0, spacing)] * TAPS_BEFORE, [_slice(x, axis, size - spacing, spacing)] * TAPS_AFTER
    if size <= before + after:
        return optimization_barrier(_filtered(jnp.concatenate([*first, x, *last], axis), axis, spacing))
    # The ends are filtered by themselves: XLA makes the filter of a concatenation ten times as slow.
    head = _filtered(jnp.concatenate([*first, _slice(x, axis, 0, before + after)], axis), axis, spacing)
    tail = _filtered(jnp.concatenate([_slice(x, axis, size - before - after, before + after), *last], axis), axis, spacing)
    return optimization_barrier(jnp.concatenate([head, _filtered(x, axis, spacing), tail], axis))


def _filtered(x: Float[Array, "m n"], axis: int, spacing: int) -> Float[Array, "_ _"]:
    """The sums of `x` along `axis` under the taps of the filter, for all positions where the filter is inside."""
    size = x.shape[axis] - (TAPS_BEFORE + TAPS_AFTER) * spacing
    return jnp.asarray(sum(tap * _slice(x, axis, k * spacing, size) for k, tap in enumerate(HALF_SAMPLE_TAPS)))


def _half_samples_reverse(axis: int, spacing: int, _: None, gradient: Float[Array, "m n"]) -> tuple[Float[Array, "m n"]]:
    """The gradient for the input of `half_samples`: the transposed filter. Gradients of repeated entries are added to the entries."""
    size, reach = gradient.shape[axis], (TAPS_BEFORE + TAPS_AFTER) * spacing
    around = jnp.pad(gradient, [(reach, reach) if axis == other else (0, 0) for other in (0, 1)])
    shifts = (_slice(around, axis, reach - k * spacing, size + reach) for k in range(len(HALF_SAMPLE_TAPS)))
    edged = optimization_barrier(sum(tap * shift for tap, shift in zip(HALF_SAMPLE_TAPS, shifts, strict=True)))
    inside = _slice(edged, axis, TAPS_BEFORE * spacing, size)
    first = sum(_slice(edged, axis, k * spacing, spacing) for k in range(TAPS_BEFORE + 1))
    last = sum(_slice(edged, axis, size + (TAPS_BEFORE - 1 + k) * spacing, spacing) for k in range(TAPS_AFTER + 1))
    if size == spacing:  # the only entries are both the first and the last ones
        return (optimization_barrier(first + last - inside),)
    middle = _slice(inside, axis, spacing, size - 2 * spacing)
    return (optimization_barrier(jnp.concatenate([first, middle, last], axis=axis)),)


half_samples.defvjp(lambda x, axis, spacing: (half_samples(x, axis, spacing), None), _half_samples_reverse)


def _slice(x: Float[Array, "m n"], axis: int, start: int, size: int) -> Float[Array, "m n"]:
    """The entries from `start` to `start + size` along `axis`."""
    return lax.slice_in_dim(x, start, start + size, axis=axis)


def warp(picture: Picture, dx: Field, dy: Field, samples: int = 1, corner: tuple[int, int] = (0, 0)) -> Float[Array, "t h w c"]:
    """Read `picture` bilinearly at (x + dx, y + dy) for every pixel (x, y) of a frame; `dx` and `dy` are in pixels.

    The picture has `samples` samples for each pixel along each axis. The upper left pixel of the frame is at `corner` (row, column) of
    the picture, in pixels. A position outside the picture gives the value at the nearest edge.
    """
    h, w = dx.shape[1:]
    rows, columns = (jnp.arange(size, dtype=jnp.float32) + first for size, first in zip((h, w), corner, strict=True))
    return read(picture, samples * (columns + dx), samples * (rows[:, None] + dy))


@jax.custom_vjp
def read(picture: Picture, x: Field, y: Field) -> Float[Array, "t h w c"]:
    """Read `picture` bilinearly at the positions (x, y), which are in samples. A position outside gives the value at the nearest edge.

    Only a reading with gradients runs `_forward`.
    """
    return between(corners(picture, x, y))


def _forward(picture: Picture, x: Field, y: Field):
    """The result of `read`, and the values that its gradient needs."""
    height, width, channels = picture.shape
    within = tuple((p >= 0) & (p < size - 1) for p, size in ((x, width), (y, height)))
    clamped_x, clamped_y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    top, left = clamped_y.astype(jnp.int32), clamped_x.astype(jnp.int32)
    index, right, below = (top * width + left).ravel(), (clamped_x - left).reshape(-1, 1), (clamped_y - top).reshape(-1, 1)
    # A row of `neighbours` holds two neighbouring samples, so that one gather reads both. Samples of the added last row
    # and column have the weight 0.
    edged = jnp.pad(picture, ((0, 1), (0, 1), (0, 0)))
    neighbours = optimization_barrier(jnp.concatenate([edged[:, :-1], edged[:, 1:]], axis=-1).reshape(-1, 2 * channels))
    pairs = optimization_barrier(neighbours[index]), optimization_barrier(neighbours[index + width])
    upper, lower = (a + (b - a) * right for a, b in (jnp.split(pair, 2, axis=-1) for pair in pairs))
    out = (upper + (lower - upper) * below).reshape(*x.shape, -1)
    return out, (picture.shape, within, pairs, index, right, below)


def _reverse(saved, gradient: Float[Array, "t h w c"]):
    """The gradients for `picture`, `x` and `y` of `read`; `saved` holds the values that `_forward` kept."""
    (height, width, channels), within, pairs, index, right, below = saved
    fields = gradient.shape[:3]
    gradient = optimization_barrier(gradient.reshape(-1, channels))
    sums = jnp.zeros(((height + 1) * width, 2 * channels))
    for rows, weight in ((0, 1 - below), (width, below)):
        # A row of `sums` holds two neighbouring samples, so that one scatter adds to both.
        contributions = optimization_barrier(jnp.concatenate([(1 - right) * weight * gradient, right * weight * gradient], axis=1))
        sums = optimization_barrier(sums.at[index + rows].add(contributions))
    sums = sums.reshape(height + 1, width, 2, channels)[:height]
    picture = sums[:, :, 0] + jnp.pad(sums[:, :, 1], ((0, 0), (1, 0), (0, 0)))[:, :width]
    # Channels are summed one by one, because a sum over a last axis of length 3 is slow on a CPU.
    (a, b), (c, d) = ([sum(gradient[:, i] * pair[:, k * channels + i] for i in range(channels)) for k in (0, 1)] for pair in pairs)
    right, below = right[:, 0], below[:, 0]
    along = (b - a) * (1 - below) + (d - c) * below, (c - a) * (1 - right) + (d - b) * right
    # The gradient is zero for a position that was moved to the edge.
    x, y = (jnp.where(inside, part.reshape(fields), 0) for inside, part in zip(within, along, strict=True))
    return picture, x, y


read.defvjp(_forward, _reverse)


class Corners(NamedTuple):
    """The four samples around each position: upper left and right, lower left and right; and the shares of the right and lower ones."""

    samples: tuple[Float[Array, "*at c"], Float[Array, "*at c"], Float[Array, "*at c"], Float[Array, "*at c"]]
    across: Float[Array, "*at 1"]
    down: Float[Array, "*at 1"]


def corners(picture: Picture, x: Float[Array, "*at"], y: Float[Array, "*at"]) -> Corners:
    """The samples between which `read` interpolates, by two gathers of two neighbours each.

    Without a gradient for the picture, this is several times as fast on a CPU as `read`, which first makes pairs of neighbours.
    """
    height, width, channels = picture.shape
    if min(height, width) == 1:
        picture = jnp.pad(picture, ((0, int(height == 1)), (0, int(width == 1)), (0, 0)), mode="edge")
    (rows, columns), flat = picture.shape[:2], picture.reshape(-1)
    x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    top, left = (jnp.minimum(at.astype(jnp.int32), size - 2) for at, size in ((y, rows), (x, columns)))
    start = (top * columns + left) * channels
    numbers = lax.GatherDimensionNumbers(offset_dims=(start.ndim,), collapsed_slice_dims=(), start_index_map=(0,))
    pairs = [
        lax.gather(flat, place[..., None], numbers, (2 * channels,), mode=lax.GatherScatterMode.CLIP)
        for place in (start, start + columns * channels)
    ]
    (a, b), (c, d) = (jnp.split(pair, 2, axis=-1) for pair in pairs)
    return Corners((a, b, c, d), (x - left)[..., None], (y - top)[..., None])


def between(found: Corners) -> Float[Array, "*at c"]:
    """The bilinear mean of corners: exactly a sample where the position is that of this sample."""
    a, b, c, d = found.samples
    upper, lower = a * (1 - found.across) + b * found.across, c * (1 - found.across) + d * found.across
    return upper * (1 - found.down) + lower * found.down

"""The wavelet transform of planes: the filters CDF 9/7 (Cohen, Daubechies and Feauveau, 1992) for samples, Haar's for motion.

One octave splits a plane into four bands of half its height and width: a coarse picture, and its horizontal, vertical and diagonal details.
The next octave splits the coarse picture. Both transforms are orthonormal, or nearly so: the error of a coefficient makes an error of the
same energy, so one step size suits all bands. CDF 9/7 is computed by lifting, as in JPEG 2000 (ITU-T T.800, annex F); beyond an edge,
samples are mirrored. Heights and widths are multiples of 2 ** octaves.
"""

from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import optimization_barrier
from jaxtyping import Array, Float

from inr.constants import HIGH_GAIN, LIFTING, LOW_GAIN

ROOT = np.float32(0.5**0.5)
RESPONSE, BEYOND = 3, 2  # entries away from an entry that it reaches; entries beyond an edge that reach samples inside
LEAST_FILTERED = 4  # entries of an axis from which its gradient is computed by filters


def synthesis(coarse: Float[Array, "p h w"], octaves: Sequence[Float[Array, "_ 3 _ _"]], haar: bool = False) -> Float[Array, "p H W"]:
    """The planes with the picture `coarse` and the details of `octaves`, coarsest first; planes without details have zeros."""
    joined, x = _joined_haar if haar else joined_97, coarse
    for details in octaves:
        rest = [(0, len(x) - len(details)), (0, 0), (0, 0), (0, 0)]
        horizontal, vertical, diagonal = jnp.moveaxis(jnp.pad(details, rest), 1, 0)
        x = joined(joined(x, horizontal, 2), joined(vertical, diagonal, 2), 1)
    return x


def analysis(planes: Float[np.ndarray, "p H W"], octaves: int, haar: bool = False) -> tuple[np.ndarray, list[np.ndarray]]:
    """The inverse of `synthesis` in NumPy: the coarse picture (p h w), and the details (p 3 h w) of every octave, coarsest first."""
    split, details, x = _split_haar if haar else _split_97, [], planes
    for _ in range(octaves):
        (low, high) = split(x, 1)
        (x, horizontal), (vertical, diagonal) = split(low, 2), split(high, 2)
        details.append(np.stack([horizontal, vertical, diagonal], axis=1))
    return x, details[::-1]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def joined_97(low: Float[Array, "p h w"], high: Float[Array, "p h w"], axis: int) -> Float[Array, "p H W"]:
    """The axis `axis` with the coarse entries `low` and the details `high`, twice as long."""
    return _lifted(low, high, axis)


def _lifted(low: Array, high: Array, axis: int) -> Array:
    even, odd = low * LOW_GAIN, high * HIGH_GAIN
    for index in reversed(range(len(LIFTING))):
        if index % 2:
            even = even - LIFTING[index] * (odd + _before(odd, axis))
        else:
            odd = odd - LIFTING[index] * (even + _after(even, axis))
    return _interleaved(even, odd, axis)


def _joined_forward(low, high, axis):
    return _lifted(low, high, axis), None


def _joined_backward(axis: int, _: None, cotangent: Array) -> tuple[Array, Array]:
    """The gradients for `low` and `high`, by filters: XLA compiles and runs the transpose of lifting three times as slowly."""
    even, odd = (_every_second(cotangent, start, axis) for start in (0, 1))
    if even.shape[axis] < LEAST_FILTERED:
        low, high = jax.linear_transpose(partial(_lifted, axis=axis), even, odd)(cotangent)
        return low, high
    return _filtered(even, odd, axis, _responses()[0], 1), _filtered(even, odd, axis, _responses()[1], 0)


def _filtered(even: Array, odd: Array, axis: int, responses: Sequence[np.ndarray], mirror: int) -> Array:
    """The gradient for entries that make samples by `responses`; entry `mirror` is the first one that is repeated beyond the first edge."""
    size = even.shape[axis]
    parts = [jnp.pad(part, _along(axis, BEYOND + RESPONSE, BEYOND + RESPONSE)) for part in (even, odd)]
    taps = [(part, at, float(tap)) for part, response in zip(parts, responses, strict=True) for at, tap in enumerate(response) if tap]
    around = jnp.asarray(sum(tap * _part(part, at, at + size + 2 * BEYOND, axis) for part, at, tap in taps))
    # Entries beyond the edges are mirrored ones, so their gradients are added to those.
    before, after = (jnp.flip(_part(around, *ends, axis), axis) for ends in ((0, BEYOND), (BEYOND + size, None)))
    inside = _part(around, BEYOND, BEYOND + size, axis)
    for outside, at in ((before, mirror), (after, size - BEYOND - 1 + mirror)):
        inside = inside + jnp.pad(outside, _along(axis, at, size - BEYOND - at))
    return optimization_barrier(inside)


def _along(axis: int, before: int, after: int) -> list[tuple[int, int]]:
    """The widths of padding of one axis of planes."""
    return [(before, after) if axis == other else (0, 0) for other in range(3)]


@lru_cache(maxsize=1)
def _responses() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The even and the odd samples that an entry of the coarse picture makes, and those of a detail, up to RESPONSE entries away."""
    found = []
    for gains in ((LOW_GAIN, 0), (0, HIGH_GAIN)):
        even, odd = (np.eye(1, 2 * RESPONSE + 1, RESPONSE)[0] * gain for gain in gains)
        for index in reversed(range(len(LIFTING))):
            if index % 2:
                even = even - LIFTING[index] * (odd + np.roll(odd, 1))
            else:
                odd = odd - LIFTING[index] * (even + np.roll(even, -1))
        found.append((even, odd))
    return found[0], found[1]


joined_97.defvjp(_joined_forward, _joined_backward)


def _every_second(x: Array, start: int, axis: int) -> Array:
    """The entries `start`, `start` + 2, ... of an axis."""
    shape = (*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    return jax.lax.index_in_dim(x.reshape(shape), start, axis + 1, keepdims=False)


def _part(x, first: int, last: int | None, axis: int):
    return x[(slice(None),) * axis + (slice(first, last),)]


def _before(x: Array, axis: int) -> Array:
    """For each entry the one before it; for the first one itself."""
    return jnp.concatenate([_part(x, 0, 1, axis), _part(x, 0, x.shape[axis] - 1, axis)], axis)


def _after(x: Array, axis: int) -> Array:
    """For each entry the one after it; for the last one itself."""
    size = x.shape[axis]
    return jnp.concatenate([_part(x, 1, size, axis), _part(x, size - 1, size, axis)], axis)


def _interleaved(even: Array, odd: Array, axis: int) -> Array:
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


def _joined_haar(low: Array, high: Array, axis: int) -> Array:
    return _interleaved((low + high) * ROOT, (low - high) * ROOT, axis)


def _split_97(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    even, odd = _halves(x, axis)
    for index, weight in enumerate(LIFTING):
        if index % 2:
            even = even + weight * (odd + np.concatenate([_part(odd, 0, 1, axis), _part(odd, 0, -1, axis)], axis))
        else:
            odd = odd + weight * (even + np.concatenate([_part(even, 1, None, axis), _part(even, -1, None, axis)], axis))
    return even / np.float32(LOW_GAIN), odd / np.float32(HIGH_GAIN)


def _split_haar(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    even, odd = _halves(x, axis)
    return (even + odd) * ROOT, (even - odd) * ROOT


def _halves(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return x[(slice(None),) * axis + (slice(0, None, 2),)], x[(slice(None),) * axis + (slice(1, None, 2),)]

"""The wavelet transform of planes: the filters CDF 9/7 (Cohen, Daubechies and Feauveau, 1992) for samples, Haar's for motion.

One octave splits a plane into four bands of half its height and width: a coarse picture, and its horizontal, vertical and diagonal details.
The next octave splits the coarse picture. Both transforms are orthonormal, or nearly so: the error of a coefficient makes an error of the
same energy, so one step size suits all bands. CDF 9/7 is computed by lifting, as in JPEG 2000 (ITU-T T.800, annex F); beyond an edge,
samples are mirrored. Heights and widths are multiples of 2 ** octaves.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inr.constants import HIGH_GAIN, LIFTING, LOW_GAIN

ROOT = np.float32(0.5**0.5)


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
    """The axis `axis` with the coarse entries `low` and the details `high`, twice as long. The gradient is computed by lifting, too."""
    even, odd = low * LOW_GAIN, high * HIGH_GAIN
    for index in reversed(range(len(LIFTING))):
        if index % 2:
            even = even - LIFTING[index] * (odd + _before(odd, axis))
        else:
            odd = odd - LIFTING[index] * (even + _after(even, axis))
    return _interleaved(even, odd, axis)


def _joined_forward(low, high, axis):
    return joined_97(low, high, axis), None


def _joined_backward(axis, _, cotangent):
    even, odd = (_every_second(cotangent, start, axis) for start in (0, 1))
    for index, weight in enumerate(LIFTING):
        if index % 2:
            odd = odd - weight * (even + _before_transposed(even, axis))
        else:
            even = even - weight * (odd + _after_transposed(odd, axis))
    return even * LOW_GAIN, odd * HIGH_GAIN


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


def _before_transposed(x: Array, axis: int) -> Array:
    first, zero = _part(x, 0, 1, axis), jnp.zeros_like(_part(x, 0, 1, axis))
    moved = jnp.concatenate([_part(x, 1, x.shape[axis], axis), zero], axis)
    return moved + jnp.concatenate([first, jnp.zeros_like(_part(x, 1, x.shape[axis], axis))], axis)


def _after_transposed(x: Array, axis: int) -> Array:
    size = x.shape[axis]
    last, zero = _part(x, size - 1, size, axis), jnp.zeros_like(_part(x, 0, 1, axis))
    moved = jnp.concatenate([zero, _part(x, 0, size - 1, axis)], axis)
    return moved + jnp.concatenate([jnp.zeros_like(_part(x, 0, size - 1, axis)), last], axis)


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

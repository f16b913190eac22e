"""The choice of a frame's symbols of samples: rate-distortion optimised quantisation.

Most symbols of a frame that reads others are zero. Gradients through noise find such rows slowly: noise beside zeros looks like symbols,
and makes them cheap. So symbols are whole in every step of a fit, and move by 1 where that lowers MSE + rate weight * bits a pixel.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inr.bands import BandLayout
from inr.constants import YCBCR_BASIS
from train.tree.band_rate import Moves

ERROR_METRIC = np.asarray(YCBCR_BASIS @ YCBCR_BASIS.T / 3)  # the mean square error of R'G'B' is e @ ERROR_METRIC @ e of Y'CbCr
LEAST_GAIN = 1.0  # of a move, in bits: a move is worth less if its neighbours move, too


def first_symbols(coefficients: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The symbols with which a fit begins, of `coefficients` in step sizes: whole parts, which is sparse. `weights` are those of errors."""
    return np.where(np.abs(coefficients) * np.sqrt(weights) < 1, 0, np.trunc(coefficients))


def curvature(layout: BandLayout, weights: Float[Array, " n"], step: Float[Array, ""], pixels: int) -> Float[Array, " n"]:
    """The MSE of a frame of `pixels` pixels if a single symbol is wrong by 1, of the step size `step`.

    The bases are nearly orthonormal, so this is the half of the second derivative of the MSE by a symbol.
    """
    metric = np.concatenate([np.full(band.size, ERROR_METRIC[band.plane, band.plane], np.float32) for band in layout.bands])
    return weights * metric * step**2 / pixels


def good_moves(by_error: Float[Array, " n"], curvature: Float[Array, " n"], bits: Moves, price: Float[Array, ""]) -> Float[Array, " n"]:
    """For each symbol the move, -1, 0 or 1, that lowers MSE + `price` * bits most if no other symbol moves.

    `by_error` is the gradient of the MSE by the symbols.
    """
    best, found = jnp.full_like(by_error, -LEAST_GAIN * price), jnp.zeros_like(by_error)
    for move, of_bits in ((-1, bits.down), (1, bits.up)):
        change = move * by_error + curvature + price * of_bits
        best, found = jnp.minimum(best, change), jnp.where(change < best, move, found)
    return found

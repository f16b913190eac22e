"""inr/colours.py: opponent colours, folded into a kernel."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from test_canvas import SPEC, VIDEO, apply_network, drawn

from inr.colours import convolved_to_rgb, to_rgb
from inr.constants import OPPONENT_BASIS
from inr.convolutions import convolution
from inr.network import initial_tensors
from train.fit.patch_convolution import patch_convolution


def test_the_basis_is_orthonormal_and_begins_with_grey():
    np.testing.assert_allclose(OPPONENT_BASIS @ OPPONENT_BASIS.T, np.eye(3), atol=1e-6)
    assert len(set(OPPONENT_BASIS[0].tolist())) == 1


def test_a_kernel_with_the_basis_folded_in_gives_the_same_as_changed_pixels():
    x = drawn(2, 5, 6, 4)
    for convolve in (jax.lax.conv_general_dilated, patch_convolution):
        conv = convolution(4, 12, 3, nnx.Rngs(0), convolve)
        conv.bias[...] = drawn(12, seed=1)
        np.testing.assert_allclose(convolved_to_rgb(conv, x, True), to_rgb(conv(x)), atol=1e-5)
        np.testing.assert_array_equal(convolved_to_rgb(conv, x, False), conv(x))


def test_head_and_canvas_use_the_basis():
    opponent = replace(SPEC, opponent=True)
    tensors = initial_tensors(SPEC, VIDEO, seed=0)
    converted = {
        name: np.asarray(to_rgb(jnp.asarray(v))) if name.startswith(("head.", "canvas.paint.")) else v for name, v in tensors.items()
    }
    plain, folded = apply_network(SPEC, VIDEO, converted, jnp.arange(3)), apply_network(opponent, VIDEO, tensors, jnp.arange(3))
    np.testing.assert_allclose(folded, plain, atol=1e-5)

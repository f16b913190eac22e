"""inr/fourier.py: low frequencies are mixed, and a spectrum is padded where its high frequencies belong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from test_canvas import apply_network

from inr.fourier import FourierOperator
from inr.network import initial_tensors
from inr.spec import BlockSpec, Embeddings, NetworkSpec, VideoSpec


def operator_output(modes: tuple[int, int], weight: np.ndarray, x: np.ndarray, stride: int = 1) -> jax.Array:
    """The output of an operator from one channel to one, for a single picture."""
    operator = FourierOperator(1, 1, modes)
    operator.weight = nnx.Param(jnp.asarray(weight, jnp.float32))
    return jax.jit(lambda features: operator(features, stride))(jnp.asarray(x, jnp.float32)[None, :, :, None])[0, :, :, 0]


def waves(h: int, w: int, scale: int = 1) -> np.ndarray:
    """A sum of low waves along rows and columns, sampled `scale` times as finely."""
    y, x = np.arange(h * scale)[:, None] / (h * scale), np.arange(w * scale) / (w * scale)
    return 1 + np.cos(2 * np.pi * y) + 0.5 * np.sin(2 * np.pi * (2 * x - y)) + 0.25 * np.sin(2 * np.pi * (x + y))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_the_identity_resamples(stride: int):
    """A real weight of 1 for each mode leaves low waves as they are, on a grid `stride` times as fine."""
    weight = np.zeros((2, 3, 3, 1, 1))
    weight[0] = 1
    out = operator_output((2, 3), weight, waves(8, 10), stride)
    assert out.shape == (8 * stride, 10 * stride)
    assert np.allclose(out, waves(8, 10, stride), atol=1e-5)


def test_other_modes_are_dropped():
    weight = np.ones((2, 1, 1, 1, 1)) * np.array([1, 0]).reshape(2, 1, 1, 1, 1)
    assert np.allclose(operator_output((1, 1), weight, waves(8, 10)), 1.0, atol=1e-5)  # the mean alone


def test_an_imaginary_weight_shifts_a_wave():
    """Multiplying frequency 1 by -i turns cosine into sine: features mix as complex numbers."""
    weight = np.zeros((2, 1, 2, 1, 1))
    weight[1, 0, 1] = -1
    x = np.broadcast_to(np.cos(2 * np.pi * np.arange(16) / 16), (4, 16))
    out = operator_output((1, 2), weight, x)
    assert np.allclose(out, np.broadcast_to(np.sin(2 * np.pi * np.arange(16) / 16), (4, 16)), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 24)])
def test_the_operator_works_at_any_size(size: tuple[int, int]):
    spec = NetworkSpec(Embeddings(3), 4, (BlockSpec(5, 2, 3, (3, 4)), BlockSpec(4, 2, 3)), 3, 2)
    video = VideoSpec(size[1], size[0], 2)
    tensors = initial_tensors(spec, video, 0)
    assert tensors["blocks.0.fourier.weight"].shape == (2, 5, 4, 4, 5)
    silent = apply_network(spec, video, tensors, jnp.arange(2))
    tensors["blocks.0.fourier.weight"] = np.full_like(tensors["blocks.0.fourier.weight"], 0.3)
    assert silent.shape == (2, *size, 3)
    assert not np.allclose(silent, apply_network(spec, video, tensors, jnp.arange(2)))

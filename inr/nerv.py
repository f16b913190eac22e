"""NeRV: a frame's time, as a code of sines and cosines, through a perceptron to its first features."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.spec import NetworkSpec, Positions, VideoSpec
from inr.time_interpolation import Indices


def position_code(t: Float[Array, " t"], levels: int, base: float) -> Float[Array, "t code"]:
    """sin and cos of base^k pi t for k below `levels`, in pairs (NeRV, section 3.1)."""
    angles = jnp.pi * base ** jnp.arange(levels, dtype=jnp.float32) * t[:, None]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(len(t), 2 * levels)


class NeRV(Backbone):
    """NeRV (Chen et al., NeurIPS 2021); with separable blocks and skips also NeRV++ (Ghorbel et al., 2024).

    Time runs from 0 to just below 1, as in the paper. Every layer of the perceptron is activated, also the last one.
    """

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        assert isinstance(spec.frame_input, Positions)
        self.positions, self.cells_shape = spec.frame_input, (*video.cells(spec), spec.stem)
        levels, hidden = self.positions.levels, self.positions.hidden
        if hidden:
            self.hidden = nnx.Linear(2 * levels, hidden, rngs=rngs)
        rows, columns, stem = self.cells_shape
        self.cells = nnx.Linear(hidden or 2 * levels, rows * columns * stem, rngs=rngs)

    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        code = position_code(indices / self.frames, self.positions.levels, self.positions.base / 100)
        code = jax.nn.gelu(self.hidden(code)) if self.positions.hidden else code
        return jax.nn.gelu(self.cells(code)).reshape(len(t), *self.cells_shape)

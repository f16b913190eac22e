"""NeRV: a perceptron turns a frame's time, coded as sines and cosines, into the first features of the frame."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.spec import NetworkSpec, Positions, VideoSpec
from inr.time_interpolation import Indices


def position_code(t: Float[Array, " t"], levels: int, base: float) -> Float[Array, "t code"]:
    """The pairs sin(pi base^k t), cos(pi base^k t) for k = 0 .. levels - 1 (NeRV, section 3.1); code = 2 * levels."""
    angles = jnp.pi * base ** jnp.arange(levels, dtype=jnp.float32) * t[:, None]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(len(t), 2 * levels)


class NeRV(Backbone):
    """NeRV (Chen et al., NeurIPS 2021); with separable blocks and skips also NeRV++ (Ghorbel et al., 2024).

    The coded time is index / frames, so it is always less than 1, as in the paper. GELU follows every layer of the perceptron, also the
    last one.
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

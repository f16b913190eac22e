"""NeRV: a frame's time, as a code of sines and cosines, through a perceptron to its first features."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.spec import NetworkSpec, Positions, VideoSpec
from inr.timeline import Indices


def position_code(t: Float[Array, " t"], levels: int, base: float) -> Float[Array, "t code"]:
    """sin and cos of base^k pi t for k below `levels`, one after the other (NeRV, section 3.1)."""
    angles = jnp.pi * base ** jnp.arange(levels, dtype=jnp.float32) * t[:, None]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(len(t), 2 * levels)


class NeRV(Backbone):
    """NeRV (Chen et al., NeurIPS 2021); with separable blocks and skips also NeRV++ (Ghorbel et al., 2024).

    Time runs from 0 to just below 1, as in the paper; every layer of the perceptron is activated, the last one too.
    """

    def __init__(self, spec: NetworkSpec, begins: Positions, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        self.begins, self.cells_shape = begins, (*video.cells(spec), spec.stem)
        if begins.hidden:
            self.hidden = nnx.Linear(2 * begins.levels, begins.hidden, rngs=rngs)
        rows, columns, stem = self.cells_shape
        self.cells = nnx.Linear(begins.hidden or 2 * begins.levels, rows * columns * stem, rngs=rngs)

    def begin(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        code = position_code(indices / self.frames, self.begins.levels, self.begins.base / 100)
        code = jax.nn.gelu(self.hidden(code)) if self.begins.hidden else code
        return jax.nn.gelu(self.cells(code)).reshape(len(t), *self.cells_shape)

"""HNeRV: a small embedding for each frame, and a decoder that turns it into the frame."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution, convolution
from inr.spec import Embeddings, NetworkSpec, VideoSpec
from inr.time_interpolation import Indices, interpolate_time


class HNeRV(Backbone):
    """HNeRV (Chen et al., CVPR 2023) without its encoder: the stem, a 1x1 convolution with GELU, turns an embedding into first features."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        assert isinstance(spec.frame_input, Embeddings)
        channels = spec.frame_input.channels
        self.embedding = nnx.Param(jnp.zeros((video.frames, *video.cells(spec), channels)))
        self.stem = convolution(channels, spec.stem, 1, rngs, convolve)

    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        return jax.nn.gelu(self.stem(interpolate_time(self.embedding[...], indices)))

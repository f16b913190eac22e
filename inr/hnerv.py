"""HNeRV: a small embedding per frame, and a decoder that turns it into the frame."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution, convolution
from inr.spec import Embeddings, NetworkSpec, VideoSpec
from inr.timeline import Indices, at


class HNeRV(Backbone):
    """The transmitted half of HNeRV (Chen et al., CVPR 2023): embeddings and stem before the blocks."""

    def __init__(self, spec: NetworkSpec, begins: Embeddings, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        self.embedding = nnx.Param(jnp.zeros((video.frames, *video.cells(spec), begins.channels)))
        self.stem = convolution(begins.channels, spec.stem, 1, rngs, convolve)

    def begin(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        return jax.nn.gelu(self.stem(at(self.embedding[...], indices)))

"""A coordinate network: fixed sines and cosines of each pixel's position, which dense layers turn into pixels. It draws one picture.

Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains" (NeurIPS 2020). With norm and
spatial grids in its layers, which are blocks of 1 x 1 convolutions, it is the network with which the CAM paper fits images (Lee et al.,
ICLR 2024, section 4.1), except that the norm is over the positions of a channel and the activation is GELU.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.nirvana import patch_centres
from inr.spec import FourierFeatures, NetworkSpec, VideoSpec
from inr.time_interpolation import Indices

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def frequency_vectors(waves: FourierFeatures) -> Float32[np.ndarray, "2 k"]:
    """The k frequency vectors (rows, columns), in radians for a distance of 1 on the axes of `patch_centres`.

    They are spread evenly over a normal distribution: vector number i has the direction i * GOLDEN_ANGLE, and the length at which the
    distribution of lengths (a Rayleigh distribution) reaches (i + 0.5) / k. The paper draws them at random.
    """
    index = np.arange(waves.frequencies)
    length = math.pi * waves.deviation * np.sqrt(-2 * np.log(1 - (index + 0.5) / waves.frequencies))
    direction = index * GOLDEN_ANGLE
    return (length * np.stack([np.sin(direction), np.cos(direction)])).astype(np.float32)


class FourierFeatureNetwork(Backbone):
    """Blocks and head over the sines and cosines of positions. All frames are the same. ValueError for another frame input."""

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        if not isinstance(spec.frame_input, FourierFeatures):
            raise ValueError(f"The frame input of `spec` must be Fourier features, but is {spec.frame_input}.")
        self.waves, self.video = spec.frame_input, video

    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        rows, columns = self.video.cells(self.spec)
        angles = jnp.asarray(patch_centres(self.video, self.spec.upscale) @ frequency_vectors(self.waves))
        features = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(1, rows, columns, self.spec.stem)
        return jnp.broadcast_to(features, (len(indices), *features.shape[1:]))

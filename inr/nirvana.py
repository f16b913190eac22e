"""NIRVANA: a perceptron with sine activations turns the position of a patch into its first features. Each segment has one network.

The network of the next segment starts from the network of this segment and is coded as the difference from it: see
`train.encode.segments`.
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32

from inr.backbone import Backbone, Features
from inr.constants import FRAME_CODE_BASE
from inr.convolutions import Convolution
from inr.layout import patch_widths
from inr.spec import NetworkSpec, Patches, VideoSpec
from inr.time_interpolation import Indices


def patch_centres(video: VideoSpec, size: int) -> Float32[np.ndarray, "p 2"]:
    """The centre (row, column) of every patch of `size` x `size` pixels, row by row; p is the number of patches.

    Pixel 0 has the coordinate -1, and the last pixel of the longer side of the picture has the coordinate 1.
    """
    rows, columns = -(-video.height // size), -(-video.width // size)
    row, column = np.mgrid[:rows, :columns] * size + (size - 1) / 2
    longest = max(video.height, video.width, 2) - 1
    return (2 * np.stack([row.ravel(), column.ravel()], axis=-1) / longest - 1).astype(np.float32)


def frame_code(indices: Indices, width: int) -> Float[Array, "t width"]:
    """A fixed code of frame indices: sines in the first half of the channels, cosines in the second half, with growing wavelengths."""
    sines = -(-width // 2)
    angles = indices[:, None] / FRAME_CODE_BASE ** (jnp.arange(sines) / sines)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)[:, :width]


class NIRVANA(Backbone):
    """The perceptron of NIRVANA (Maiya et al., CVPR 2023) over patches, followed by the same blocks as in all networks.

    Unlike in the paper, all frames of a segment have the same convolutions, and a fixed code of the frame's index is added to the first
    features. Unlike in the paper, the convolutions read across the borders of patches.
    """

    def __init__(self, spec: NetworkSpec, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        assert isinstance(spec.frame_input, Patches)
        self.patches, self.video = spec.frame_input, video
        self.patch = nnx.List([nnx.Linear(fan_in, width, rngs=rngs) for fan_in, width in patch_widths(self.patches, spec)])

    def input_features(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        x = jnp.asarray(patch_centres(self.video, self.patches.size))
        *hidden, last = self.patch
        for dense in hidden:
            x = jnp.sin(dense(x))
        rows, columns = self.video.cells(self.spec)
        side = self.patches.size // self.spec.upscale
        x = last(x).reshape(rows // side, columns // side, side, side, self.spec.stem)
        x = x.transpose(0, 2, 1, 3, 4).reshape(1, rows, columns, self.spec.stem)
        return x + frame_code(indices, self.spec.stem)[:, None, None]

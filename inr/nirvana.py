"""NIRVANA: a perceptron of sines from where a patch lies to its features, one network for a group of frames.

That the next group's network begins as this one and is coded as its difference is a matter of layers: see `train.groups`.
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32

from inr.backbone import Backbone, Features
from inr.convolutions import Convolution
from inr.layout import patch_widths
from inr.spec import NetworkSpec, Patches, VideoSpec
from inr.timeline import Indices

FRAME_BASE = 100.0  # of the wavelengths of the code that tells frames apart


def patch_centres(video: VideoSpec, size: int) -> Float32[np.ndarray, "p 2"]:
    """Row and column of every patch's centre, row by row; the longer side of the picture runs from -1 to 1."""
    rows, columns = -(-video.height // size), -(-video.width // size)
    row, column = np.mgrid[:rows, :columns] * size + (size - 1) / 2
    longest = max(video.height, video.width, 2) - 1
    return (2 * np.stack([row.ravel(), column.ravel()], axis=-1) / longest - 1).astype(np.float32)


def frame_code(indices: Indices, width: int) -> Float[Array, "t width"]:
    """Sines in the first half of the channels, cosines in the second, of the frame's number over growing wavelengths."""
    sines = -(-width // 2)
    angles = indices[:, None] / FRAME_BASE ** (jnp.arange(sines) / sines)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)[:, :width]


class NIRVANA(Backbone):
    """Patches as NIRVANA (Maiya et al., CVPR 2023) predicts them, on the blocks of all networks here.

    Unlike the paper's, its convolutions are the same for all frames, which a fixed code tells apart, and see across the
    borders of patches.
    """

    def __init__(self, spec: NetworkSpec, begins: Patches, video: VideoSpec, rngs: nnx.Rngs, convolve: Convolution):
        super().__init__(spec, video, rngs, convolve)
        self.patch = nnx.List([nnx.Linear(before, width, rngs=rngs) for before, width in patch_widths(begins, spec)])
        self.video, self.begins = video, begins

    def begin(self, indices: Indices, t: Float[Array, " t"]) -> Features:
        x = jnp.asarray(patch_centres(self.video, self.begins.size))
        *hidden, last = self.patch
        for layer in hidden:
            x = jnp.sin(layer(x))
        rows, columns = self.video.cells(self.spec)
        side = self.begins.size // self.spec.upscale
        x = last(x).reshape(rows // side, columns // side, side, side, self.spec.stem)
        x = x.transpose(0, 2, 1, 3, 4).reshape(1, rows, columns, self.spec.stem)
        return x + frame_code(indices, self.spec.stem)[:, None, None]

"""The picture of network 5 (codec/FORMAT.md, "Rendering", steps a to e of network 5)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from inr.reference.operations import Picture, depth_to_space
from inr.spec import Pyramid, VideoSpec

FIXED_TAPS = np.array([-3, 29, 111, -9], np.float32) / 128


def painted_picture(pyramid: Pyramid, video: VideoSpec, tensors: Mapping[str, np.ndarray]) -> Picture:
    """The picture before stage 7."""
    height, width, count = video.height, video.width, pyramid.levels
    grids = [tensors[f"grids.{k}"] for k in range(count)]
    rows, columns = -(-height // 2), -(-width // 2)
    fine = np.pad(grids[0], ((0, 2 * rows - height), (0, 2 * columns - width)))
    fine = fine.reshape(rows, 2, columns, 2).swapaxes(1, 2).reshape(rows, columns, 4)
    coarse = np.empty((rows, columns, count - 1), np.float32)
    for k in range(1, count):
        grid = grids[k]
        for level in range(k, 0, -1):
            size = grids[level - 1].shape if level > 1 else (rows, columns)
            grid = _doubled(grid, FIXED_TAPS + tensors["upsampling"][level - 1], *size)
        coarse[..., k - 1] = grid
    inputs = np.concatenate([fine, coarse], axis=-1)
    features = (1 + inputs @ tensors["modulation"]) * np.maximum(0, inputs @ tensors["features.kernel"] + tensors["features.bias"])
    painted = depth_to_space(features @ tensors["paint.kernel"] + fine @ tensors["phases"], 2)
    smooth = _doubled(coarse @ (0.5 + tensors["colours"]), FIXED_TAPS, 2 * rows, 2 * columns)
    plain = (painted + smooth)[:height, :width] + 0.5 * grids[0][..., None] + tensors["paint.bias"]
    kernel = tensors["filter"]
    reach = (len(kernel) - 1) // 2
    near, picture = np.pad(plain, ((reach, reach), (reach, reach), (0, 0)), "edge"), plain
    for row in range(len(kernel)):
        for column in range(len(kernel)):
            picture = picture + kernel[row, column] * near[row : row + height, column : column + width]
    return picture


def _doubled(
    grid: Float[np.ndarray, "r c *rest"], taps: Float[np.ndarray, "4"], rows: int, columns: int
) -> Float[np.ndarray, "r2 c2 *rest"]:
    """`grid` with twice the rows and columns, or one less, by the four `taps` and their mirror image."""
    for axis, size in enumerate((rows, columns)):
        along = np.moveaxis(grid, axis, 0)
        old, near = len(along), np.pad(along, ((2, 2), *[(0, 0)] * (grid.ndim - 1)), "edge")
        out = np.empty((2 * old, *along.shape[1:]), np.float32)
        out[::2] = sum(tap * near[k : k + old] for tap, k in zip(taps, (0, 1, 2, 3), strict=True))
        out[1::2] = sum(tap * near[k : k + old] for tap, k in zip(taps, (4, 3, 2, 1), strict=True))
        grid = np.moveaxis(out[:size], 0, axis)
    return grid

"""The choice between the two models of a video: a canvas, or a tree of frames.

A canvas is good where the camera moves and little else does. Where things move by themselves, a tree takes fewer bits. A few pairs of
frames tell which it is: the error that remains after compensation of the camera's motion, against the error after block matching. Both are
compared as logarithms, because bits grow with the logarithm of an error, and relative to the texture of the picture, which a model of
either kind must draw once.

With many bits for its texture, or little time, a tree takes fewer bits whatever moves: a network needs many steps to draw fine details.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Shaped
from scipy.ndimage import map_coordinates

from inr.constants import MOTION_CELL
from inr.pixels import MAX_LEVEL
from inr.reading import Source, probe
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.problem import Problem
from train.plan.duration import OTHER_SECONDS, relative_cost
from train.plan.motion import NARROWEST, WIDEST, camera_path, positions, thin
from train.plan.options import AUTO, EncodeOptions, FitOptions, Model
from train.plan.presets import plan
from train.tree.matching import Scaled, field_of, read

PLACES, DISTANCES = 5, (1, 4)  # of pairs of frames in a video, and the numbers of frames between the two
LEAST_ERROR = 6e-4  # mean square error, of samples in [0, 1], that no model needs to go below
RATE_WEIGHT = 1e-3  # of the block matching
LEAST_GAIN = 0.16  # of block matching over the camera's motion, as a share of the texture, from which a tree is chosen
LEAST_RATE = 0.03  # bits per pixel for each octave of texture from which a tree is chosen whatever moves
LEAST_PSNR = 32.0  # target in decibels from which it is
LEAST_STEPS = 300  # of a canvas, below which a tree is chosen at every rate
LEAST_BYTES = 4000  # of a file of which these three are asked

Grey = Float[np.ndarray, "h w"]


class Slices(Protocol):
    """A video, or a source of one, whose slices are videos."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: slice) -> Video: ...


class Content(NamedTuple):
    """The mean texture of some frames, in octaves, and the gain of block matching over the camera's motion.

    The gain is the difference of the logarithms of the two errors, as a share of the texture.
    """

    texture: float
    gain: float


def chosen_model(source: str | Path, options: EncodeOptions) -> EncodeOptions:
    """`options` with the model that suits the source, if they leave the choice to the encoder.

    A picture has a network of its own. A mask, and segments that the user asks for, have a canvas: segments of a tree would share nothing.
    """
    selection = options.selection
    if options.fit.model.name != AUTO or options.segmentation is not None or selection.mask is not None:
        return options
    extent = probe(source, selection.frames, selection.scale)
    is_tree = False
    if extent.frames > 1:
        content = content_of(Source(source, selection.frames, selection.scale))
        video = VideoSpec(extent.width, extent.height, extent.frames, extent.fps)
        is_tree = content.gain > LEAST_GAIN or suits_rate(content, video, options.fit)
    return options.with_fit(model=Model("tree" if is_tree else "cam"))


def suits_rate(content: Content, video: VideoSpec, fit: FitOptions) -> bool:
    """Whether the target and the time are such that a tree is expected to take fewer bits than a canvas whatever moves.

    The choice depends on no clock, so a run that is resumed makes the same one.
    """
    target, bpp = fit.target, fit.target.nominal_bpp(video)
    if target.target_psnr is None and bpp * video.pixels < 8 * LEAST_BYTES:
        return False
    if steps_of_canvas(video, bpp, fit) < LEAST_STEPS:
        return True
    return bpp >= LEAST_RATE * content.texture if target.target_psnr is None else target.target_psnr >= LEAST_PSNR


def steps_of_canvas(video: VideoSpec, bpp: float, fit: FitOptions) -> float:
    """The steps of the fit of a canvas; with a time budget, those on the reference machine."""
    if fit.time_budget is None:
        return fit.preset.steps
    spec, config = plan(video, bpp, replace(fit, model=Model("cam")), accelerated=False)
    within = (fit.time_budget - OTHER_SECONDS) / relative_cost(Problem(spec, video, config))
    return min(within, fit.preset.most_steps)


def content_of(video: Slices) -> Content:
    """The content of a video of at least two frames."""
    gains, textures = [], []
    longest = min(max(DISTANCES), len(video) - 1)
    for start in np.unique(np.linspace(0, len(video) - 1 - longest, PLACES).astype(int)).tolist():
        frames = video[start : start + longest + 1].frames
        size = frames.shape[1:3]
        reduction = max(1, min(-(-max(size) // WIDEST), min(size) // NARROWEST))
        path = camera_path(frames) / reduction
        for distance in sorted({min(distance, longest) for distance in DISTANCES}):
            view, reference = (thin(frames[at], reduction) / MAX_LEVEL for at in (distance, 0))
            motion = np.moveaxis(positions(view.shape) @ (path[distance] - path[0]), -1, 0)
            gain, texture = compared(view, reference, motion, distance)
            gains.append(gain)
            textures.append(texture)
    return Content(float(np.mean(textures)), float(np.sum(gains) / max(np.sum(textures), 1e-9)))


def compared(view: Grey, reference: Grey, motion: Float[np.ndarray, "2 h w"], distance: int) -> tuple[float, float]:
    """The mean logarithm of the error after the camera's `motion` minus that after block matching, and that of the texture.

    `motion` is in pixels down and to the right, over `distance` frames.
    """
    place = np.indices(view.shape)
    by_camera = map_coordinates(reference, place - motion, order=1, mode="nearest")
    field = field_of(Scaled.of(view), Scaled.of(reference), RATE_WEIGHT, distance)
    down, right = (wide(np.rint(component).astype(int), view.shape) for component in field)
    by_blocks = read(reference, place[0] + down, place[1] + right)
    return logarithm(view - by_camera) - logarithm(view - by_blocks), logarithm(view - wide(block_means(view), view.shape))


def logarithm(error: Grey) -> float:
    """The mean over blocks of the base-2 logarithm of the mean square error, which counts from LEAST_ERROR on."""
    return float(np.log2(1 + block_means(np.square(error)) / LEAST_ERROR).mean())


def block_means(values: Grey) -> Float[np.ndarray, "r c"]:
    """The mean of each block of MOTION_CELL x MOTION_CELL entries; the last row and column are repeated to whole blocks."""
    height, width = values.shape
    whole = np.pad(values, ((0, -height % MOTION_CELL), (0, -width % MOTION_CELL)), mode="edge")
    return whole.reshape(whole.shape[0] // MOTION_CELL, MOTION_CELL, -1, MOTION_CELL).mean(axis=(1, 3))


def wide(blocks: Shaped[np.ndarray, "r c"], shape: tuple[int, int]) -> Shaped[np.ndarray, "h w"]:
    """For each entry of a plane of this shape the value of its block."""
    return np.repeat(np.repeat(blocks, MOTION_CELL, 0), MOTION_CELL, 1)[: shape[0], : shape[1]]

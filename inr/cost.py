"""Counts the computation that the rendering of a frame takes, in MAC (multiply-accumulates), from the tensors of its network."""

from typing import NamedTuple

from inr.layout import tensor_specs
from inr.pixels import CHANNELS
from inr.spec import BlockSpec, FourierFeatures, FrameTree, NetworkSpec, TimeGrids, VideoSpec

# MAC of operations without weights.
FOURIER_MACS = 12  # for each position and channel of one Fourier transform: 2 * log2(64), as for a transform of 64 positions
RESIZE_MACS = 4  # for each value of a skip connection that is resized bilinearly
SMOOTHING_MACS = 2 * 3 * 3  # for each pixel: three taps along two axes, 3 channels
WARP_MACS = 24  # for each pixel of a warped picture: 4 for each of 6 bilinear values (flow 2, weight 1, colour 3)


# For each pixel of a frame of a tree with two references: filters of 8 taps that double both references along each axis, 3 channels; two
# bilinear reads of them; the lifting steps of the bands, whose chroma has a quarter of the samples; six planes of motion.
TREE_MACS = 2 * 3 * 8 * 3 + 2 * 3 * 4 + 14 + 6 * 3


class FrameCost(NamedTuple):
    """The cost of one frame of a network: MAC, values of the largest array of features, and pixels of the frame padded to whole cells."""

    macs: float
    features: int
    pixels: int


def macs_per_pixel(spec: NetworkSpec, video: VideoSpec) -> float:
    """MAC (multiply-accumulates) to render one frame, for each pixel of the frame padded to whole cells. See `frame_cost`."""
    cost = frame_cost(spec, video)
    return cost.macs / cost.pixels


def frame_cost(spec: NetworkSpec, video: VideoSpec) -> FrameCost:
    """The cost of the rendering of one frame.

    The rendering of neighbours' pictures, and of the references of a tree's frame, is not counted. Work that all frames share (the picture
    of the canvas, NIRVANA's perceptron) is counted in full. The features of a tree are its planes.
    """
    if isinstance(spec.frame_input, FrameTree):
        pixels = video.height * video.width
        return FrameCost(TREE_MACS * pixels, CHANNELS * pixels, pixels)
    rows, columns = video.cells(spec)
    cells, width, macs = rows * columns, spec.stem, sum(tensor.macs for tensor in tensor_specs(spec, video))
    features = cells * width
    if isinstance(spec.frame_input, TimeGrids):
        macs += 2 * cells * spec.stem  # linear interpolation between two entries of a grid
    if isinstance(spec.frame_input, FourierFeatures):
        macs += 2 * cells * spec.frame_input.frequencies
    for block in spec.blocks:
        macs += cells * _block_extras(block, width)
        cells, width = cells * block.stride**2, block.width
        features = max(features, cells * width)
    pixels = cells * spec.head_stride**2
    warped = len(spec.neighbours.offsets) if spec.neighbours else 0
    macs += WARP_MACS * pixels * (warped + (spec.canvas is not None)) + SMOOTHING_MACS * pixels * spec.smooth
    return FrameCost(macs, max(features, CHANNELS * pixels), pixels)


def _block_extras(block: BlockSpec, features: int) -> float:
    """MAC of a block's operations without weights, for each position of its input; the input has `features` channels."""
    expanded = block.width * block.stride**2
    return block.skip * RESIZE_MACS * expanded + any(block.modes) * FOURIER_MACS * (features + expanded)

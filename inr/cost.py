"""Counts the computation that the rendering of a frame takes, in MAC (multiply-accumulates), from the tensors of its network."""

from inr.layout import tensor_specs
from inr.spec import BlockSpec, FourierFeatures, FrameTree, NetworkSpec, TimeGrids, VideoSpec

# MAC of operations without weights.
FOURIER_MACS = 12  # for each position and channel of one Fourier transform: 2 * log2(64), as for a transform of 64 positions
RESIZE_MACS = 4  # for each value of a skip connection that is resized bilinearly
SMOOTHING_MACS = 2 * 3 * 3  # for each pixel: three taps along two axes, 3 channels
WARP_MACS = 24  # for each pixel of a warped picture: 4 for each of 6 bilinear values (flow 2, weight 1, colour 3)


# For each pixel of a frame of a tree with two references: filters of 8 taps that double both references along each axis, 3 channels; two
# bilinear reads of them; the lifting steps of the bands, whose chroma has a quarter of the samples; six planes of motion.
TREE_MACS = 2 * 3 * 8 * 3 + 2 * 3 * 4 + 14 + 6 * 3


def macs_per_pixel(spec: NetworkSpec, video: VideoSpec) -> float:
    """MAC (multiply-accumulates) to render one frame, for each pixel of the frame padded to whole cells.

    The rendering of neighbours' pictures, and of the references of a tree's frame, is not counted. Work that all frames share (the picture
    of the canvas, NIRVANA's perceptron) is counted in full.
    """
    if isinstance(spec.frame_input, FrameTree):
        return TREE_MACS
    rows, columns = video.cells(spec)
    cells, features, macs = rows * columns, spec.stem, sum(tensor.macs for tensor in tensor_specs(spec, video))
    if isinstance(spec.frame_input, TimeGrids):
        macs += 2 * cells * spec.stem  # linear interpolation between two entries of a grid
    if isinstance(spec.frame_input, FourierFeatures):
        macs += 2 * cells * spec.frame_input.frequencies
    for block in spec.blocks:
        macs += cells * _block_extras(block, features)
        cells, features = cells * block.stride**2, block.width
    pixels = cells * spec.head_stride**2
    warped = len(spec.neighbours.offsets) if spec.neighbours else 0
    return (macs + WARP_MACS * pixels * (warped + (spec.canvas is not None))) / pixels + SMOOTHING_MACS * spec.smooth


def _block_extras(block: BlockSpec, features: int) -> float:
    """MAC of a block's operations without weights, for each position of its input; the input has `features` channels."""
    expanded = block.width * block.stride**2
    return block.skip * RESIZE_MACS * expanded + any(block.modes) * FOURIER_MACS * (features + expanded)

"""The computation that rendering a frame takes, counted from its network's tensors."""

from inr.layout import tensor_specs
from inr.spec import BlockSpec, NetworkSpec, TimeGrids, VideoSpec

# Work that no tensor's weights account for, in multiply-accumulates.
FOURIER_MACS = 12  # for each cell and channel, forward and inverse transform: two per octave of a frame of 64 cells
RESIZE_MACS = 4  # for each value of a bilinearly resized skip
WARP_MACS = 24  # for each pixel of one warped picture: a flow and a weight resized, three samples of four corners read


def macs_per_pixel(spec: NetworkSpec, video: VideoSpec) -> float:
    """Multiply-accumulates for one rendered frame, divided by the pixels of its padded frame.

    The pictures of neighbours count as known. Work that all frames share (a canvas, NIRVANA's patches) counts in full.
    """
    rows, columns = video.cells(spec)
    cells, features, macs = rows * columns, spec.stem, sum(tensor.macs for tensor in tensor_specs(spec, video))
    if isinstance(spec.frame_input, TimeGrids):
        macs += 2 * cells * spec.stem  # linear interpolation between two entries
    for block in spec.blocks:
        macs += cells * _block_extras(block, features)
        cells, features = cells * block.stride**2, block.width
    pixels = cells * spec.head_stride**2
    warped = len(spec.neighbours.offsets) if spec.neighbours else 0
    return (macs + WARP_MACS * pixels * (warped + (spec.canvas is not None))) / pixels


def _block_extras(block: BlockSpec, features: int) -> float:
    """Work of a block besides its kernels, for each cell of its input of `features` channels."""
    expanded = block.width * block.stride**2
    return block.skip * RESIZE_MACS * expanded + any(block.modes) * FOURIER_MACS * (features + expanded)

"""What a network costs to run, counted from its spec."""

from math import prod

from inr.layout import patch_widths
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

TRANSFORM_MACS = 12  # of a cell and channel, there or back: two per octave of a frame of 64 cells
RESIZED_AND_READ = 24  # a flow and a weight resized, three samples of four corners read


def macs_per_pixel(spec: NetworkSpec, video: VideoSpec) -> float:
    """Multiply-accumulates of one rendered frame's convolutions per pixel of its canvas, its neighbours' pictures known.

    What all frames share (a canvas, NIRVANA's patches) counts as for a frame rendered alone.
    """
    rows, columns = video.cells(spec)
    cells, features, macs = rows * columns, spec.stem, _beginning(spec, rows * columns)
    looked = 0.0
    for index, block in enumerate(spec.blocks):
        macs += cells * _block_per_cell(block, features)
        cells, features = cells * block.stride**2, block.width
        if spec.neighbours and index == spec.neighbours.block:
            looked = cells * features * 9 * (3 * len(spec.neighbours.offsets) + 1)
    pixels = cells * spec.head_stride**2
    macs += cells * features * 3 * spec.head_stride**2 * spec.head_kernel**2
    if spec.neighbours:
        macs += looked + RESIZED_AND_READ * pixels * len(spec.neighbours.offsets)
    if spec.canvas:
        macs += _painting(spec.canvas, prod(video.painted(spec))) + cells * features * 9 + RESIZED_AND_READ * pixels
    return macs / pixels


def _beginning(spec: NetworkSpec, cells: int) -> float:
    match spec.beginning:
        case Embeddings(channels):
            return cells * channels * spec.stem
        case Positions(levels, hidden):
            return 2 * levels * hidden + (hidden or 2 * levels) * cells * spec.stem
        case TimeGrids():
            return 2 * cells * spec.stem
        case Patches(size) as patches:
            return cells / (size // spec.upscale) ** 2 * sum(before * width for before, width in patch_widths(patches, spec))


def _block_per_cell(block: BlockSpec, features: int) -> float:
    """Of a block, per cell of its input."""
    grown = block.stride**2
    expanded = block.width * grown
    if block.groups > 1:
        macs = expanded * (block.kernel**2 * features // block.groups + expanded)
    else:
        macs = features * expanded * block.kernel**2
    if block.separable:
        macs += features * (block.separable**2 + features) + expanded * (block.separable**2 + block.width)
    if block.skip:
        macs += features * block.width + 4 * expanded
    if any(block.modes):  # the transforms; mixing a few modes is little beside them
        macs += TRANSFORM_MACS * (features + expanded)
    return macs


def _painting(canvas: CanvasSpec, pixels: int) -> float:
    return pixels / canvas.stride**2 * canvas.width * (sum(canvas.grids) * canvas.kernel**2 + 27 * canvas.stride**2)

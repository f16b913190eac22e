"""Lists the tensors of a network in bitstream order. A `TensorSpec` describes each tensor: name, shape, owner, initial values, coding.

The network's modules, the fit, the rate in the loss, RDO (rate-distortion optimisation of symbols) and the codec all read these
descriptions. A new kind of tensor is therefore described in this module alone. The module loads no JAX.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from math import prod

from inr.picture_layout import picture_tensors
from inr.pixels import CHANNELS
from inr.spec import BlockSpec, CanvasSpec, Embeddings, FrameTree, NetworkSpec, Patches, Positions, Pyramid, TimeGrids, VideoSpec
from inr.tensor_spec import CameraFlow, ExpectedCoding, Normal, Owner, Part, TensorSpec, TimeAxis, Zeros
from inr.tree_layout import tree_tensors

EMBEDDING = "embedding"

# Standard deviations of weights at the start of a fit.
EMBEDDING_DEVIATION = 0.5  # of embeddings and of grids over time
CANVAS_GRID_DEVIATION = 0.5  # expected for the grids of a canvas, which start at zero
# A gain is the standard deviation of a kernel times sqrt(fan-in).
FIRST_SINES_GAIN = 15.0  # of NIRVANA's first layer; in SIREN (Sitzmann et al., 2020) its weights would be uniform in -15..15
RELU_GAIN, LINEAR_GAIN, HEAD_GAIN = 2**0.5, 1.0, 0.3


@lru_cache(maxsize=64)
def tensor_specs(spec: NetworkSpec, video: VideoSpec) -> tuple[TensorSpec, ...]:
    """The descriptions of all tensors of the network of `video`, in bitstream order."""
    return tuple(_tensors(spec, video))


def tensor_shapes(spec: NetworkSpec, video: VideoSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor by name, in bitstream order."""
    return {tensor.name: tensor.shape for tensor in tensor_specs(spec, video)}


def weights(spec: NetworkSpec, video: VideoSpec) -> int:
    """The number of weights in all tensors of a network."""
    return sum(tensor.size for tensor in tensor_specs(spec, video))


def layer_specs(spec: NetworkSpec) -> tuple[TensorSpec, ...]:
    """The descriptions of the tensors of a weight layer, in bitstream order. They are the same for every video."""
    return tuple(tensor for tensor in tensor_specs(spec, VideoSpec(1, 1, 1)) if not tensor.private)


def _tensors(spec: NetworkSpec, video: VideoSpec) -> Iterator[TensorSpec]:
    if isinstance(spec.frame_input, Pyramid):
        yield from picture_tensors(spec.frame_input, spec, video)
        return
    if isinstance(spec.frame_input, FrameTree):
        yield from tree_tensors(spec.frame_input, video)
        return
    rows, columns = video.cells(spec)
    cells, features = rows * columns, spec.stem
    yield from _frame_input(spec, video)
    for index, block in enumerate(spec.blocks):
        yield from _block(f"blocks.{index}.", block, features, spec, cells)
        cells, features = cells * block.stride**2, block.width
    if spec.neighbours:
        width = spec.blocks[spec.neighbours.block].width
        positions = rows * columns * prod(block.stride**2 for block in spec.blocks[: spec.neighbours.block + 1])
        yield from Part("neighbours.", 0.0, positions).conv("predict", width, neighbour_outputs(len(spec.neighbours.offsets)), 3)
    if spec.canvas:
        yield from _canvas(spec.canvas, video.canvas_size(spec), video.frames, features, cells)
    yield from Part("", HEAD_GAIN, cells).conv("head", features, CHANNELS * spec.head_stride**2, spec.head_kernel)


def neighbour_outputs(offsets: int) -> int:
    """The number of predicted channels: 2 flow components and 1 weight for each of `offsets` neighbours, 1 weight for the frame itself."""
    return 3 * offsets + 1


def _frame_input(spec: NetworkSpec, video: VideoSpec) -> Iterator[TensorSpec]:
    rows, columns = video.cells(spec)
    cells = rows * columns
    match spec.frame_input:
        case Embeddings(channels):
            shape = (video.frames, rows, columns, channels)
            yield TensorSpec(EMBEDDING, shape, Owner.VIDEO, Normal(EMBEDDING_DEVIATION), TimeAxis.FRAMES, own_contexts=True)
            yield from Part("", LINEAR_GAIN, cells).conv("stem", channels, spec.stem, 1)
        case Positions(levels, hidden):
            if hidden:
                yield from Part("", LINEAR_GAIN, 1).dense("hidden", 2 * levels, hidden)
            yield from Part("", LINEAR_GAIN, 1, Owner.VIDEO).dense("cells", hidden or 2 * levels, cells * spec.stem)
        case TimeGrids(lengths):
            for index, length in enumerate(lengths):
                shape = (length, rows, columns, spec.stem // len(lengths))
                yield TensorSpec(f"time_grids.{index}", shape, Owner.VIDEO, Normal(EMBEDDING_DEVIATION), TimeAxis.GRID)
        case Patches(size) as patches:
            positions = cells / (size // spec.upscale) ** 2
            for index, (fan_in, width) in enumerate(patch_widths(patches, spec)):
                yield from Part("patch.", RELU_GAIN if index else FIRST_SINES_GAIN, positions).dense(str(index), fan_in, width)


def patch_widths(patches: Patches, spec: NetworkSpec) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer of NIRVANA's perceptron, from the 2 coordinates of a patch to all first features of the patch."""
    cells = (patches.size // spec.upscale) ** 2
    return list(pairwise([2, *(patches.hidden for _ in range(patches.depth - 1)), cells * spec.stem]))


def _block(prefix: str, block: BlockSpec, features: int, spec: NetworkSpec, cells: int) -> Iterator[TensorSpec]:
    """The tensors of a block. Its input has `features` channels at `cells` positions; `prefix` begins the names."""
    part, expanded, outputs = Part(prefix, RELU_GAIN, cells), block.width * block.stride**2, cells * block.stride**2
    yield from _separable(part, "before", features, block.separable)
    if block.conv_groups > 1:
        yield from part.conv("conv", features // block.conv_groups, expanded, block.kernel)
        yield from part.conv("expand", expanded, expanded, 1)
    else:
        yield from part.conv("conv", features, expanded, block.kernel)
    if block.skip:
        yield from part.conv("skip", features, block.width, 1)
    if any(block.modes):
        shape = (2, 2 * block.modes[0] - 1, block.modes[1], features, block.width)
        yield TensorSpec(f"{prefix}fourier.weight", shape, Owner.LAYER, Zeros())
    if spec.temporal_grid:
        for name in ("scale", "shift"):
            shape = (spec.temporal_grid, block.width)
            yield TensorSpec(f"{prefix}modulation.{name}", shape, Owner.VIDEO, Zeros(), TimeAxis.GRID)
    if spec.spatial_grid[0]:
        for name in ("spatial_scale", "spatial_shift"):
            yield TensorSpec(f"{prefix}modulation.{name}", spec.spatial_grid, Owner.VIDEO, Zeros())
    yield from _separable(replace(part, positions=outputs), "after", block.width, block.separable)


def _separable(part: Part, name: str, features: int, kernel: int) -> Iterator[TensorSpec]:
    if kernel:
        yield from part.conv(f"{name}.depthwise", 1, features, kernel)
        yield from part.zero().conv(f"{name}.pointwise", features, features, 1)


def _canvas(canvas: CanvasSpec, size: tuple[int, int], frames: int, features: int, cells: int) -> Iterator[TensorSpec]:
    """The tensors of a canvas of `size` (height, width) pixels. The blend is computed from `features` channels at `cells` positions."""
    grids = canvas.grid_shapes(*size)
    for index, shape in enumerate(grids):
        yield TensorSpec(f"canvas.grids.{index}", shape, Owner.VIDEO, Zeros(CANVAS_GRID_DEVIATION), own_contexts=True)
    painter = Part("canvas.", LINEAR_GAIN, prod(size) / canvas.stride**2)
    for tensor in painter.conv("mix", len(grids), canvas.width, canvas.kernel):
        yield replace(tensor, warm_start=True)
    for tensor in painter.conv("paint", canvas.width, CHANNELS * canvas.stride**2, 3):
        yield replace(tensor, warm_start=True)
    for index, grid in enumerate(canvas.flow_grids):
        init = Zeros() if index else CameraFlow()
        shape = (frames, *grid, 2)
        yield TensorSpec(f"canvas.flows.{index}", shape, Owner.VIDEO, init, TimeAxis.FRAMES, ExpectedCoding.DIFFERENCES, own_contexts=True)
    yield from Part("canvas.", 0.0, cells).conv("blend", features, 1, 3)

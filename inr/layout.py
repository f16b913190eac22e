"""Lists the tensors of a network in bitstream order. A `TensorSpec` describes each tensor: name, shape, owner, initial values, coding.

The network's modules, the fit, the rate in the loss, RDO (rate-distortion optimisation of symbols) and the codec all read these
descriptions. A new kind of tensor is therefore described in this module alone. The module loads no JAX.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from math import prod

from inr.pixels import CHANNELS
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

EMBEDDING = "embedding"


class Owner(Enum):
    """The kind of record that stores a tensor."""

    LAYER = "weight layer"  # shared: several videos may reference it
    VIDEO = "video"  # private: its shape depends on the video's size or length, or it is a grid of CAM


class TimeAxis(Enum):
    """The relation between a tensor's first axis and time."""

    NONE = "no time"
    FRAMES = "one entry for each frame"
    GRID = "entries at evenly spaced times; linear interpolation between two entries"


class ExpectedCoding(Enum):
    """The coding that a fit expects for a tensor's symbols. The encoder itself takes the shortest coding: see `codec.coding`."""

    STATIC = "the symbols themselves, all under one frequency table"
    DIFFERENCES = "the differences of symbols along the first axis, all under one frequency table"


@dataclass(frozen=True)
class Normal:
    """Initial values are drawn from a normal distribution with mean 0 and standard deviation `deviation`."""

    deviation: float


@dataclass(frozen=True)
class Zeros:
    """Initial values are zero. The fit chooses the first step size as if their standard deviation were `expected_deviation`."""

    expected_deviation: float = 0.02


@dataclass(frozen=True)
class CameraFlow(Zeros):
    """Initial values are the flow that compensates the camera's motion, if `train.plan.motion` finds a motion; otherwise zero."""


Init = Normal | Zeros


@dataclass(frozen=True)
class TensorSpec:
    """The description of one tensor. Kernels of convolutions have the axes (rows, columns, in, out), matrices have (in, out).

    `positions` is the number of positions of one rendered frame at which each weight is a factor; 0 for a tensor that is only read by
    index or by interpolation. With `warm_start`, the fit of a further video starts from the values in the weight layers that it
    references (see `train.fit.base_layers`).
    """

    name: str
    shape: tuple[int, ...]
    owner: Owner
    init: Init
    time_axis: TimeAxis = TimeAxis.NONE
    coding: ExpectedCoding = ExpectedCoding.STATIC
    positions: float = 0.0
    warm_start: bool = False

    @property
    def size(self) -> int:
        """The number of weights in the tensor."""
        return prod(self.shape)

    @property
    def private(self) -> bool:
        """Whether the tensor belongs to one video alone and is stored in its video record."""
        return self.owner is Owner.VIDEO

    @property
    def per_frame(self) -> bool:
        """Whether each frame has an entry of its own along the first axis."""
        return self.time_axis is TimeAxis.FRAMES

    @property
    def macs(self) -> float:
        """MAC (multiply-accumulates) with this tensor's weights for one rendered frame."""
        return self.positions * self.size


# Standard deviations of weights at the start of a fit.
EMBEDDING_DEVIATION = 0.5  # of embeddings and of grids over time
CANVAS_GRID_DEVIATION = 0.5  # expected for the grids of a canvas, which start at zero
# A gain is the standard deviation of a kernel times sqrt(fan-in).
FIRST_SINES_GAIN = 15.0  # of NIRVANA's first layer; in SIREN (Sitzmann et al., 2020) its weights would be uniform in -15..15
RELU_GAIN, LINEAR_GAIN, HEAD_GAIN = 2**0.5, 1.0, 0.3


@dataclass(frozen=True)
class _Part:
    """Facts that the tensors of one part of a network share; the fields are those of `TensorSpec`, and the gain of kernels."""

    prefix: str
    gain: float
    positions: float
    owner: Owner = Owner.LAYER

    def conv(self, name: str, fan_in: int, width: int, kernel: int) -> Iterator[TensorSpec]:
        """The kernel and the bias of a `kernel` x `kernel` convolution with `fan_in` inputs for each of `width` outputs."""
        yield self._kernel(name, (kernel, kernel, fan_in, width))
        yield self._bias(name, width)

    def dense(self, name: str, fan_in: int, width: int) -> Iterator[TensorSpec]:
        """The matrix and the bias of a dense layer from `fan_in` to `width` channels."""
        yield self._kernel(name, (fan_in, width))
        yield self._bias(name, width)

    def _kernel(self, name: str, shape: tuple[int, ...]) -> TensorSpec:
        deviation = self.gain / prod(shape[:-1]) ** 0.5
        init = Normal(deviation) if self.gain else Zeros()
        return TensorSpec(f"{self.prefix}{name}.kernel", shape, self.owner, init, positions=self.positions)

    def _bias(self, name: str, width: int) -> TensorSpec:
        return TensorSpec(f"{self.prefix}{name}.bias", (width,), self.owner, Zeros())

    def zero(self) -> "_Part":
        """The same part with kernels that start at zero, so that a residual branch adds nothing at the start of a fit."""
        return replace(self, gain=0.0)


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
    rows, columns = video.cells(spec)
    cells, features = rows * columns, spec.stem
    yield from _frame_input(spec, video)
    for index, block in enumerate(spec.blocks):
        yield from _block(f"blocks.{index}.", block, features, spec, cells)
        cells, features = cells * block.stride**2, block.width
    if spec.neighbours:
        width = spec.blocks[spec.neighbours.block].width
        positions = rows * columns * prod(block.stride**2 for block in spec.blocks[: spec.neighbours.block + 1])
        yield from _Part("neighbours.", 0.0, positions).conv("predict", width, neighbour_outputs(len(spec.neighbours.offsets)), 3)
    if spec.canvas:
        yield from _canvas(spec.canvas, video.canvas_size(spec), video.frames, features, cells)
    yield from _Part("", HEAD_GAIN, cells).conv("head", features, CHANNELS * spec.head_stride**2, spec.head_kernel)


def neighbour_outputs(offsets: int) -> int:
    """The number of predicted channels: 2 flow components and 1 weight for each of `offsets` neighbours, 1 weight for the frame itself."""
    return 3 * offsets + 1


def _frame_input(spec: NetworkSpec, video: VideoSpec) -> Iterator[TensorSpec]:
    rows, columns = video.cells(spec)
    cells = rows * columns
    match spec.frame_input:
        case Embeddings(channels):
            shape = (video.frames, rows, columns, channels)
            yield TensorSpec(EMBEDDING, shape, Owner.VIDEO, Normal(EMBEDDING_DEVIATION), TimeAxis.FRAMES)
            yield from _Part("", LINEAR_GAIN, cells).conv("stem", channels, spec.stem, 1)
        case Positions(levels, hidden):
            if hidden:
                yield from _Part("", LINEAR_GAIN, 1).dense("hidden", 2 * levels, hidden)
            yield from _Part("", LINEAR_GAIN, 1, Owner.VIDEO).dense("cells", hidden or 2 * levels, cells * spec.stem)
        case TimeGrids(lengths):
            for index, length in enumerate(lengths):
                shape = (length, rows, columns, spec.stem // len(lengths))
                yield TensorSpec(f"time_grids.{index}", shape, Owner.VIDEO, Normal(EMBEDDING_DEVIATION), TimeAxis.GRID)
        case Patches(size) as patches:
            positions = cells / (size // spec.upscale) ** 2
            for index, (fan_in, width) in enumerate(patch_widths(patches, spec)):
                yield from _Part("patch.", RELU_GAIN if index else FIRST_SINES_GAIN, positions).dense(str(index), fan_in, width)


def patch_widths(patches: Patches, spec: NetworkSpec) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer of NIRVANA's perceptron, from the 2 coordinates of a patch to all first features of the patch."""
    cells = (patches.size // spec.upscale) ** 2
    return list(pairwise([2, *(patches.hidden for _ in range(patches.depth - 1)), cells * spec.stem]))


def _block(prefix: str, block: BlockSpec, features: int, spec: NetworkSpec, cells: int) -> Iterator[TensorSpec]:
    """The tensors of a block. Its input has `features` channels at `cells` positions; `prefix` begins the names."""
    part, expanded, outputs = _Part(prefix, RELU_GAIN, cells), block.width * block.stride**2, cells * block.stride**2
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


def _separable(part: _Part, name: str, features: int, kernel: int) -> Iterator[TensorSpec]:
    if kernel:
        yield from part.conv(f"{name}.depthwise", 1, features, kernel)
        yield from part.zero().conv(f"{name}.pointwise", features, features, 1)


def _canvas(canvas: CanvasSpec, size: tuple[int, int], frames: int, features: int, cells: int) -> Iterator[TensorSpec]:
    """The tensors of a canvas of `size` (height, width) pixels. The blend is computed from `features` channels at `cells` positions."""
    grids = canvas.grid_shapes(*size)
    for index, shape in enumerate(grids):
        yield TensorSpec(f"canvas.grids.{index}", shape, Owner.VIDEO, Zeros(CANVAS_GRID_DEVIATION))
    painter = _Part("canvas.", LINEAR_GAIN, prod(size) / canvas.stride**2)
    for tensor in painter.conv("mix", len(grids), canvas.width, canvas.kernel):
        yield replace(tensor, warm_start=True)
    for tensor in painter.conv("paint", canvas.width, CHANNELS * canvas.stride**2, 3):
        yield replace(tensor, warm_start=True)
    for index, grid in enumerate(canvas.flow_grids):
        init = Zeros() if index else CameraFlow()
        yield TensorSpec(f"canvas.flows.{index}", (frames, *grid, 2), Owner.VIDEO, init, TimeAxis.FRAMES, ExpectedCoding.DIFFERENCES)
    yield from _Part("canvas.", 0.0, cells).conv("blend", features, 1, 3)

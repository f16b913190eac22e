"""The description of one tensor: name, shape, owner, initial values, step sizes and coding. This module loads no JAX."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from math import prod

from inr.bands import BandLayout


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
    BANDS = "each symbol of wavelet bands under the table that a context model predicts: see `BandsOfFrames`"
    CONTEXTS = "each symbol under the table that a context model predicts; the encoder has no choice: see `GridContexts`"


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


class Steps(Enum):
    """The step sizes that a tensor may have."""

    LEARNED = "2 ** (exponent / 8), learned by the fit"
    POWERS_OF_TWO = "2 ** (exponent / 8) with a multiple of 8 as exponent, chosen before the fit: integers compute with the symbols"
    UNIT = "1; the file does not store it"
    FIXED = "2 ** (GRID_EXPONENT / 8); the file does not store it"


@dataclass(frozen=True)
class GridContexts:
    """The contexts of a grid whose symbols are coded with ExpectedCoding.CONTEXTS.

    `model` begins the names of the tensors of the context model. `coarser` lists the grids that are also contexts, finest first: the name
    of each, and by how many octaves it is coarser. They come before this grid in bitstream order. The model expects `features` of them;
    missing ones count as zero.
    """

    model: str
    coarser: tuple[tuple[str, int], ...]
    features: int


@dataclass(frozen=True)
class BandsOfFrames:
    """The bands in a tensor whose symbols are coded with ExpectedCoding.BANDS; the tensor has a row for each frame.

    `model` begins the names of the tensors of the context model, which takes `neighbours` symbols of a band. `motion` tells whether the
    planes are those of motion. `distance` is that of key frames.
    """

    model: str
    layout: BandLayout
    neighbours: int
    motion: bool
    distance: int


@dataclass(frozen=True)
class TensorSpec:
    """The description of one tensor. Kernels of convolutions have the axes (rows, columns, in, out), matrices have (in, out).

    `positions` is the number of positions of one rendered frame at which each weight is a factor; 0 for a tensor that is only read by
    index or by interpolation. With `warm_start`, the fit of a further video starts from the values in the weight layers that it
    references (see `train.fit.base_layers`). `contexts` is None for a tensor that is not coded with contexts of a shared model. With
    `own_contexts`, the encoder may code the tensor with a context model of its own: see `codec.frame_contexts`.
    """

    name: str
    shape: tuple[int, ...]
    owner: Owner
    init: Init
    time_axis: TimeAxis = TimeAxis.NONE
    coding: ExpectedCoding = ExpectedCoding.STATIC
    positions: float = 0.0
    warm_start: bool = False
    steps: Steps = Steps.LEARNED
    contexts: GridContexts | None = None
    own_contexts: bool = False
    bands: BandsOfFrames | None = None

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


@dataclass(frozen=True)
class Part:
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

    def zero(self) -> "Part":
        """The same part with kernels that start at zero, so that a residual branch adds nothing at the start of a fit."""
        return replace(self, gain=0.0)

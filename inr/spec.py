"""Specs: all that a decoder needs to rebuild a network, minus its weights.

A spec is transmitted; a *config* (how the network was fitted) never is.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

from inr.video import Colour, Video


@dataclass(frozen=True)
class BlockSpec:
    """One upsampling block: a `kernel` x `kernel` convolution, then depth-to-space by `stride`.

    `width` is the number of channels after upsampling. A Fourier operator of so many `modes` (rows, columns) works beside
    the convolution: see `inr.fourier`; (0, 0) leaves it out. With `groups` above 1 the convolution keeps to groups of
    channels, and a 1x1 convolution mixes these (FFNeRV's compact block). Separable residual blocks of
    `separable` x `separable` stand before and after it, and with `skip` the input, resized bilinearly, goes around it (NeRV++);
    0 and False leave them out.
    """

    width: int
    stride: int
    kernel: int
    modes: tuple[int, int] = (0, 0)
    groups: int = 1
    separable: int = 0
    skip: bool = False


@dataclass(frozen=True)
class CanvasSpec:
    """A still picture that all frames read, each through a flow of its own: see `inr.canvas`.

    `grids` counts the pyramid's grids at each size, from `stride` pixels a cell on, each size half the one before;
    a convolution of `kernel` mixes them into `width` features. A frame's flow is the sum
    of `flow_grids`, each of so many (rows, columns) of vectors: what moves as a whole is said once, and what moves otherwise finely.
    With `half_samples` the picture is read from twice as many samples along each axis, those between filtered.
    """

    grids: tuple[int, ...]
    flow_grids: tuple[tuple[int, int], ...]
    stride: int = 2
    width: int = 12
    kernel: int = 3
    half_samples: bool = False

    def grid_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Rows and columns of every grid under a picture of `height` x `width`, finest first."""
        sizes = [self.stride * 2**level for level in range(len(self.grids))]
        return [(-(-height // size), -(-width // size)) for size, count in zip(sizes, self.grids, strict=True) for _ in range(count)]


@dataclass(frozen=True)
class Embeddings:
    """A frame begins as a learned embedding of `channels`, lifted by a 1x1 convolution (HNeRV: Chen et al., CVPR 2023)."""

    channels: int


@dataclass(frozen=True)
class Positions:
    """A frame begins as its time, in sines and cosines of `levels` frequencies, through a perceptron (NeRV: Chen et al., NeurIPS 2021).

    Frequencies are powers of `base` hundredths; `hidden` is the width of the layer between, 0 for none.
    """

    levels: int
    hidden: int
    base: int = 125


@dataclass(frozen=True)
class TimeGrids:
    """A frame begins as what grids of so many `lengths` over time hold at its time (FFNeRV: Lee et al., ACM MM 2023, section 3.1).

    Their channels stand side by side and share the stem's width, which must be a multiple of their number.
    """

    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Patches:
    """All frames begin as patches of `size` pixels, each a perceptron of sines of its centre (NIRVANA: Maiya et al., CVPR 2023).

    `depth` layers, all but the last `hidden` wide; a frame's number is added as a fixed wave.
    """

    size: int
    hidden: int
    depth: int


Beginning = Embeddings | Positions | TimeGrids | Patches


@dataclass(frozen=True)
class NeighboursSpec:
    """Frames that a frame also reads, each through a flow of its own (FFNeRV, section 3.2): see `inr.neighbours`.

    `offsets` count frames from it; flows and weights are convolved from the features of block `block`.
    """

    offsets: tuple[int, ...]
    block: int


@dataclass(frozen=True)
class NetworkSpec:
    """A network of the NeRV family, optionally with coordinate-aware modulation.

    `beginning` says what a frame's first features, of `stem` channels, come from; `blocks` upsample them.
    The head convolves to RGB and upsamples by `head_stride`; `bounded` passes its output through tanh, as the
    papers do. `norm` normalises each channel over the frame after every block's upsampling; `temporal_grid` is
    the length of CAM's grids over time and `spatial_grid` the (rows, columns) of its grids over the frame
    (Lee et al., ICLR 2024; 0 leaves a grid out). With `opponent` the last kernels, the head's and the canvas's, give
    opponent colours: see `inr.colours`.
    """

    beginning: Beginning
    stem: int
    blocks: tuple[BlockSpec, ...]
    head_kernel: int = 3
    head_stride: int = 1
    norm: bool = False
    temporal_grid: int = 0
    spatial_grid: tuple[int, int] = (0, 0)
    bounded: bool = False
    opponent: bool = False
    canvas: CanvasSpec | None = None
    neighbours: NeighboursSpec | None = None

    @property
    def upscale(self) -> int:
        """Pixels per cell of the first features along each axis."""
        return self.head_stride * prod(block.stride for block in self.blocks)

    @property
    def modulated(self) -> bool:
        """Whether any grid modulates the blocks."""
        return self.temporal_grid > 0 or self.spatial_grid[0] > 0


@dataclass(frozen=True)
class VideoSpec:
    """What a file says of one video besides its tensors: true size, frame count, rate, colour tags, name.

    `margins` are pixels above, left of, below and right of a frame by which its canvas reaches beyond it.
    """

    width: int
    height: int
    frames: int
    fps: Fraction = Fraction(25)
    colour: Colour = field(default_factory=Colour)
    name: str = ""
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, video: Video) -> "VideoSpec":
        """The spec that describes `video`."""
        return cls(video.width, video.height, len(video), video.fps, video.colour, video.name)

    @property
    def pixels(self) -> int:
        return self.frames * self.height * self.width

    def cells(self, spec: NetworkSpec) -> tuple[int, int]:
        """Rows and columns of a frame's first features; what they span is cropped to the true size."""
        whole = spec.beginning.size if isinstance(spec.beginning, Patches) else spec.upscale
        rows, columns = -(-self.height // whole), -(-self.width // whole)
        return rows * whole // spec.upscale, columns * whole // spec.upscale

    def painted(self, spec: NetworkSpec) -> tuple[int, int]:
        """Height and width of a canvas's picture: all cells' pixels, and the margins."""
        (rows, columns), (above, left, below, right) = self.cells(spec), self.margins
        return above + rows * spec.upscale + below, left + columns * spec.upscale + right

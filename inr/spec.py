"""Specs: everything that a decoder needs to rebuild a network, except its weights.

A *spec* is transmitted in the file. A *config* (how a network was fitted) never is.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

from inr.video import Colour, Video


@dataclass(frozen=True)
class BlockSpec:
    """One upsampling block: a `kernel` x `kernel` convolution, then depth-to-space by `stride`.

    `width` is the number of channels after upsampling. Optional parts:

    - `modes`: (rows, columns) of a Fourier operator beside the convolution, see `inr.fourier`; (0, 0) leaves it out.
    - `conv_groups` above 1: the convolution connects only channels of the same group, and a 1x1 convolution mixes the groups
      (FFNeRV's compact block).
    - `separable`: kernel size of the separable residual blocks before and after the convolution; 0 leaves them out (NeRV++).
    - `skip`: the block's input, resized bilinearly, is added to its output (NeRV++).
    """

    width: int
    stride: int
    kernel: int
    modes: tuple[int, int] = (0, 0)
    conv_groups: int = 1
    separable: int = 0
    skip: bool = False


@dataclass(frozen=True)
class CanvasSpec:
    """A still picture that every frame reads through a flow of its own: see `inr.canvas`.

    `grids` lists how many grids the pyramid has at each size. The finest size has one cell for every `stride` x `stride` pixels,
    and each further size has half the rows and columns. A convolution of size `kernel` mixes all grids into `width` features.
    A frame's flow is the sum of `flow_grids`, given as (rows, columns) of vectors, coarse ones first. With `half_samples` the
    picture is read from twice as many samples along each axis; the added ones are interpolated by a fixed filter.
    """

    grids: tuple[int, ...]
    flow_grids: tuple[tuple[int, int], ...]
    stride: int = 2
    width: int = 12
    kernel: int = 3
    half_samples: bool = False

    def grid_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(rows, columns) of every grid below a picture of `height` x `width` pixels, finest first."""
        sizes = [self.stride * 2**level for level in range(len(self.grids))]
        return [(-(-height // size), -(-width // size)) for size, count in zip(sizes, self.grids, strict=True) for _ in range(count)]


@dataclass(frozen=True)
class Embeddings:
    """Frame input of HNeRV (Chen et al., CVPR 2023): a learned embedding of `channels` for each frame, lifted by a 1x1 convolution."""

    channels: int


@dataclass(frozen=True)
class Positions:
    """Frame input of NeRV (Chen et al., NeurIPS 2021): the frame's time in sines and cosines, through a perceptron.

    The code has `levels` frequencies, the powers of `base` / 100. `hidden` is the width of the hidden layer, 0 for none.
    """

    levels: int
    hidden: int
    base: int = 125


@dataclass(frozen=True)
class TimeGrids:
    """Frame input of FFNeRV (Lee et al., ACM MM 2023, section 3.1): grids over time, read at the frame's time.

    `lengths` gives the entries of each grid along time. The grids' channels are concatenated and share the stem's width equally.
    """

    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Patches:
    """Frame input of NIRVANA (Maiya et al., CVPR 2023): a perceptron of sines maps a patch's position to its features.

    A patch has `size` x `size` pixels. The perceptron has `depth` layers; all but the last are `hidden` wide. A fixed code of the
    frame's number is added to the features, because the perceptron itself is the same for all frames.
    """

    size: int
    hidden: int
    depth: int


FrameInput = Embeddings | Positions | TimeGrids | Patches


@dataclass(frozen=True)
class NeighboursSpec:
    """Other frames that a frame also reads, each through a flow (FFNeRV, section 3.2): see `inr.neighbours`.

    `offsets` are frame numbers relative to the frame. Flows and weights are predicted from the features of block `block`.
    """

    offsets: tuple[int, ...]
    block: int


@dataclass(frozen=True)
class NetworkSpec:
    """A network of the NeRV family, optionally with coordinate-aware modulation (CAM: Lee et al., ICLR 2024).

    `frame_input` says how a frame's first features, of `stem` channels, are made; `blocks` upsample them. The head convolves to
    R'G'B' and upsamples by `head_stride`; `bounded` passes its output through tanh, as the papers do. `norm` normalises each
    channel over the frame in every block. `temporal_grid` is the length of CAM's grids over time and `spatial_grid` the
    (rows, columns) of its grids over the frame; 0 leaves a grid out. With `opponent` the head and the canvas give opponent
    colours: see `inr.colours`.
    """

    frame_input: FrameInput
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
        """Pixels along each axis for each cell of the first features."""
        return self.head_stride * prod(block.stride for block in self.blocks)

    @property
    def modulated(self) -> bool:
        """Whether any grid modulates the blocks."""
        return self.temporal_grid > 0 or self.spatial_grid[0] > 0


@dataclass(frozen=True)
class VideoSpec:
    """The facts that a file holds about one video besides its tensors.

    `width` and `height` are in pixels, `fps` is an exact fraction of frames per second, `colour` and `name` describe the source.
    `margins` are pixels above, left of, below and right of a frame by which the canvas reaches beyond it.
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
        """Frames times height times width."""
        return self.frames * self.height * self.width

    def cells(self, spec: NetworkSpec) -> tuple[int, int]:
        """Rows and columns of a frame's first features. They cover at least the frame; the surplus is cropped after rendering."""
        whole = spec.frame_input.size if isinstance(spec.frame_input, Patches) else spec.upscale
        rows, columns = -(-self.height // whole), -(-self.width // whole)
        return rows * whole // spec.upscale, columns * whole // spec.upscale

    def canvas_size(self, spec: NetworkSpec) -> tuple[int, int]:
        """Height and width in pixels of the canvas's picture: the area of all cells, and the margins around it."""
        (rows, columns), (above, left, below, right) = self.cells(spec), self.margins
        return above + rows * spec.upscale + below, left + columns * spec.upscale + right

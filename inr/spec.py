"""Specs of networks and videos: all facts that a decoder needs to rebuild a network, except its weights.

The file stores a *spec*. A *config* holds the settings of a fit; no file stores it.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

from inr.video import Colour, Video


@dataclass(frozen=True)
class BlockSpec:
    """One upsampling block: a `kernel` x `kernel` convolution, then depth-to-space by `stride`.

    `width` is the number of channels after upsampling. These parts are optional:

    - `modes`: (rows, columns) of a Fourier operator parallel to the convolution, see `inr.fourier`; (0, 0) means none.
    - `conv_groups` above 1: the convolution connects only channels of the same group, and a 1x1 convolution after it mixes the
      groups (FFNeRV's compact block). 1 means an ordinary convolution.
    - `separable`: kernel size of the separable residual blocks before and after the convolution; 0 means none (NeRV++).
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

    `grids` lists the number of grids at each level of the pyramid. The first level has one entry for every `stride` x `stride` pixels,
    and each further level has half the rows and columns of the level before. A `kernel` x `kernel` convolution mixes all grids into
    `width` channels. A frame's flow is the sum of several grids of vectors; `flow_grids` lists their (rows, columns), coarse ones
    first. With `half_samples`, a fixed filter adds a sample between each two samples of the picture before frames read it.
    """

    grids: tuple[int, ...]
    flow_grids: tuple[tuple[int, int], ...]
    stride: int = 2
    width: int = 12
    kernel: int = 3
    half_samples: bool = False

    def grid_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(rows, columns) of every grid of the pyramid for a picture of `height` x `width` pixels, finest first."""
        sizes = [self.stride * 2**level for level in range(len(self.grids))]
        return [(-(-height // size), -(-width // size)) for size, count in zip(sizes, self.grids, strict=True) for _ in range(count)]


@dataclass(frozen=True)
class Embeddings:
    """Frame input of HNeRV (Chen et al., CVPR 2023): a learned embedding for each frame.

    An embedding has `channels` channels for each cell. A 1x1 convolution turns it into the first features.
    """

    channels: int


@dataclass(frozen=True)
class Positions:
    """Frame input of NeRV (Chen et al., NeurIPS 2021): a perceptron turns sines and cosines of the frame's time into features.

    The `levels` frequencies are the powers 0 .. levels - 1 of `base` / 100. `hidden` is the number of channels of the hidden layer, 0 for
    no hidden layer.
    """

    levels: int
    hidden: int
    base: int = 125


@dataclass(frozen=True)
class TimeGrids:
    """Frame input of FFNeRV (Lee et al., ACM MM 2023, section 3.1): grids over time, read at the frame's time.

    `lengths` lists the number of entries in time of each grid. The channels of all grids are concatenated: each grid has `stem` channels
    divided by the number of grids.
    """

    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Patches:
    """Frame input of NIRVANA (Maiya et al., CVPR 2023): a perceptron with sine activations turns the position of a patch into features.

    A patch has `size` x `size` pixels. The perceptron has `depth` layers; all except the last have `hidden` channels. The
    perceptron is the same for all frames, so a fixed code of the frame's index is added to its output.
    """

    size: int
    hidden: int
    depth: int


@dataclass(frozen=True)
class FourierFeatures:
    """Frame input of a coordinate network (Tancik et al., NeurIPS 2020): see `inr.fourier_features`.

    The first features are `frequencies` sines and as many cosines. The frequencies spread like a normal distribution with the standard
    deviation `deviation`, in waves along the longer side of the picture.
    """

    frequencies: int
    deviation: int


@dataclass(frozen=True)
class ContextSpec:
    """The network that predicts the symbols of context-coded grids: see `codec.context_model`.

    A symbol's contexts are `neighbours` symbols of its own grid and one symbol from each of `coarser` coarser grids. `hidden` is the number
    of hidden layers.
    """

    neighbours: int
    coarser: int
    hidden: int

    @property
    def inputs(self) -> int:
        """The number of contexts of a symbol."""
        return self.neighbours + self.coarser


@dataclass(frozen=True)
class Pyramid:
    """Frame input of a picture, as in Cool-Chic (Ladune et al., ICCV 2023): a pyramid of `levels` grids of integers, see `inr.picture`.

    The finest grid has one entry for each pixel. Each entry of the next grid covers 4 x 4 pixels, and each further grid has half the
    rows and columns of the grid before. `contexts` describes the network that predicts their symbols.
    """

    levels: int
    contexts: ContextSpec

    @property
    def octaves(self) -> tuple[int, ...]:
        """For each grid, the base-2 logarithm of the number of pixels that an entry covers along each axis: 0, 2, 3, 4, and so on."""
        return (0, *range(2, self.levels + 1))

    def shapes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of every grid for a picture of `height` x `width` pixels, finest first."""
        return tuple((-(-height // 2**octave), -(-width // 2**octave)) for octave in self.octaves)


@dataclass(frozen=True)
class BandContextSpec:
    """The network that predicts the symbols of wavelet bands: see `codec.band_contexts`.

    A symbol's contexts are `neighbours` symbols of its own band, and facts that all bands have. A layer of `width` channels follows, and
    `hidden` further ones of the same width.
    """

    neighbours: int
    width: int
    hidden: int


@dataclass(frozen=True)
class FrameTree:
    """Frame input of a tree of frames, which read other frames through flows: see `inr.tree`.

    Key frames stand `distance` frames apart (see `inr.frame_tree`). With `full_chroma`, Cb and Cr have details of the finest octave, as Y'
    has; without, they are smooth, as those of 4:2:0 video are. `contexts` and `motion_contexts` describe the networks that predict the
    symbols of samples and of motion. With `keeps_means`, a fade takes away the details of a prediction, but not its local means; fits make
    such trees only.
    """

    distance: int
    full_chroma: bool
    contexts: BandContextSpec
    motion_contexts: BandContextSpec
    keeps_means: bool = False


FrameInput = Embeddings | Positions | TimeGrids | Patches | Pyramid | FourierFeatures | FrameTree


@dataclass(frozen=True)
class NeighboursSpec:
    """Other frames that a frame also reads, each through a flow (FFNeRV, section 3.2): see `inr.neighbours`.

    `offsets` are the indices of the other frames minus the index of the frame. Flows and weights are predicted from the features after
    block number `block`.
    """

    offsets: tuple[int, ...]
    block: int


@dataclass(frozen=True)
class NetworkSpec:
    """A network of the NeRV family, optionally with coordinate-aware modulation (CAM: Lee et al., ICLR 2024).

    `frame_input` describes how a frame's first features, of `stem` channels, are computed; `blocks` upsample them. The head is a
    convolution of size `head_kernel` to R'G'B' that upsamples by `head_stride`. With `bounded`, its output passes through tanh, as in
    the papers. With `norm`, every block normalises each channel over the frame. `temporal_grid` is the number of times in CAM's grids
    over time, 0 for none. `spatial_grid` gives the (rows, columns) of CAM's grids over the frame, (0, 0) for none. With `opponent`,
    the head and the canvas give opponent colours: see `inr.colours`. With `smooth`, a fixed filter follows the head's pixel shuffle: see
    `inr.convolutions.smoothed`. `canvas` and `neighbours` are None for a network without them.
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
    smooth: bool = False
    canvas: CanvasSpec | None = None
    neighbours: NeighboursSpec | None = None

    @property
    def upscale(self) -> int:
        """The number of pixels that one cell of the first features covers along each axis."""
        return self.head_stride * prod(block.stride for block in self.blocks)

    @property
    def modulated(self) -> bool:
        """Whether the network has CAM: a grid that modulates the features of its blocks."""
        return self.temporal_grid > 0 or self.spatial_grid[0] > 0


@dataclass(frozen=True)
class VideoSpec:
    """The facts that a file holds about one video besides its tensors.

    `width` and `height` are in pixels, `frames` is the number of frames, `fps` is an exact fraction of frames per second, `colour` and
    `name` describe the source, and so does `pixel_aspect`, the width of a pixel divided by its height. `margins` are the numbers of pixels
    by which the canvas extends beyond a frame: above it, left of it, below it and right of it.
    """

    width: int
    height: int
    frames: int
    fps: Fraction = Fraction(25)
    colour: Colour = field(default_factory=Colour)
    name: str = ""
    margins: tuple[int, int, int, int] = (0, 0, 0, 0)
    pixel_aspect: Fraction = Fraction(1)

    @classmethod
    def of(cls, video: Video) -> "VideoSpec":
        """The spec that describes `video`."""
        return cls(video.width, video.height, len(video), video.fps, video.colour, video.name, pixel_aspect=video.pixel_aspect)

    @property
    def pixels(self) -> int:
        """The number of pixels of all frames: frames * height * width."""
        return self.frames * self.height * self.width

    def cells(self, spec: NetworkSpec) -> tuple[int, int]:
        """The rows and columns of a frame's first features. They can cover more pixels than the frame has; rendering crops the surplus."""
        whole = spec.frame_input.size if isinstance(spec.frame_input, Patches) else spec.upscale
        rows, columns = -(-self.height // whole), -(-self.width // whole)
        return rows * whole // spec.upscale, columns * whole // spec.upscale

    def canvas_size(self, spec: NetworkSpec) -> tuple[int, int]:
        """The height and width in pixels of the canvas's picture: the area of all cells of a frame, and the margins around it."""
        (rows, columns), (above, left, below, right) = self.cells(spec), self.margins
        return above + rows * spec.upscale + below, left + columns * spec.upscale + right

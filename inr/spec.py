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
    the convolution: see `inr.fourier`; (0, 0) leaves it out.
    """

    width: int
    stride: int
    kernel: int
    modes: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class CanvasSpec:
    """A still picture that all frames read, each through a flow of its own: see `inr.canvas`.

    `grids` counts the pyramid's grids at each size, from `stride` pixels a cell on, each size half the one before;
    a convolution of `kernel` mixes them into `width` features. A frame's flow is the sum
    of `flow_grids`, each of so many (rows, columns) of vectors: what moves as a whole is said once, and what moves otherwise finely.
    """

    grids: tuple[int, ...]
    flow_grids: tuple[tuple[int, int], ...]
    stride: int = 2
    width: int = 12
    kernel: int = 3

    def grid_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Rows and columns of every grid under a picture of `height` x `width`, finest first."""
        sizes = [self.stride * 2**level for level in range(len(self.grids))]
        return [(-(-height // size), -(-width // size)) for size, count in zip(sizes, self.grids, strict=True) for _ in range(count)]


@dataclass(frozen=True)
class HNeRVSpec:
    """An HNeRV decoder (Chen et al., CVPR 2023), optionally with coordinate-aware modulation.

    `embedding` is the channels of a frame's embedding, `stem` the width that a 1x1 convolution lifts it to.
    The head convolves to RGB and upsamples by `head_stride`; `bounded` passes its output through tanh, as the
    paper does. `norm` normalises each channel over the frame after every block's upsampling; `temporal_grid` is
    the length of CAM's grids over time and `spatial_grid` the (rows, columns) of its grids over the frame
    (Lee et al., ICLR 2024; 0 leaves a grid out). With `opponent` the last kernels, the head's and the canvas's, give
    opponent colours: see `inr.colours`.
    """

    embedding: int
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

    @property
    def upscale(self) -> int:
        """Pixels per embedding cell along each axis."""
        return self.head_stride * prod(block.stride for block in self.blocks)

    @property
    def modulated(self) -> bool:
        """Whether any grid modulates the blocks."""
        return self.temporal_grid > 0 or self.spatial_grid[0] > 0


@dataclass(frozen=True)
class VideoSpec:
    """What a file says of one video besides its tensors: true size, frame count, rate, colour tags, name."""

    width: int
    height: int
    frames: int
    fps: Fraction = Fraction(25)
    colour: Colour = field(default_factory=Colour)
    name: str = ""

    @classmethod
    def of(cls, video: Video) -> "VideoSpec":
        """The spec that describes `video`."""
        return cls(video.width, video.height, len(video), video.fps, video.colour, video.name)

    @property
    def pixels(self) -> int:
        return self.frames * self.height * self.width

    def cells(self, spec: HNeRVSpec) -> tuple[int, int]:
        """Rows and columns of a frame's embedding; the canvas they span is cropped to the true size."""
        return -(-self.height // spec.upscale), -(-self.width // spec.upscale)

"""A video: 8-bit R'G'B' frames, their rate, and the colour tags of their source."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from inr.pixels import Frames, is_frames

UNSPECIFIED = 2  # the code point for "unspecified" in ITU-T H.273, tables 2 to 4


@dataclass(frozen=True)
class Colour:
    """The colour tags of a source, as code points of ITU-T H.273.

    The frames of a video are R'G'B', as the decoder of the source gives them. The tags say how to convert these frames back to the
    source's Y'CbCr.
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    full_range: bool = False


@dataclass(frozen=True, eq=False)
class Video:
    """Frames in display order, uint8 R'G'B'; an image is a video of one frame.

    `fps` is an exact fraction of frames per second; `name` is the source's name. `pixel_aspect` is the width of a pixel divided by its
    height, as a player shows it. ValueError if `frames` has another dtype or shape than uint8 (t h w 3), or an empty axis.
    """

    frames: Frames
    fps: Fraction = Fraction(25)
    colour: Colour = field(default_factory=Colour)
    name: str = ""
    pixel_aspect: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if not is_frames(self.frames):
            raise ValueError(
                f"`frames` must be uint8 of shape (frames, height, width, 3) without empty axes, "
                f"but are {self.frames.dtype} of shape {shape}."
            )

    def __len__(self) -> int:
        return self.frames.shape[0]

    def __getitem__(self, index: slice) -> "Video":
        """The video that holds only the frames that the slice `index` selects."""
        return replace(self, frames=self.frames[index])

    @property
    def height(self) -> int:
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        return self.frames.shape[2]

    @property
    def pixels(self) -> int:
        """The number of pixels of all frames, frames * height * width: the divisor in bits per pixel."""
        return len(self) * self.height * self.width

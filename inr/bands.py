"""The bands of a frame's wavelet transform, and their places in one flat vector of coefficients. This module loads no JAX."""

from dataclasses import dataclass
from functools import cached_property

from inr.constants import MOTION_CELL, MOTION_OCTAVES, SAMPLE_OCTAVES

MOTION_PLANES = 6  # of a tree: a flow's rows and columns for each of two references, the mix, the fade
COARSE = 0  # the orientation of the coarse picture; 1, 2 and 3 are horizontal, vertical and diagonal details


@dataclass(frozen=True)
class Band:
    """One band of one plane: `rows` x `columns` coefficients from `start` on. The finest octave is 1."""

    plane: int
    octave: int
    orientation: int
    rows: int
    columns: int
    start: int

    @property
    def size(self) -> int:
        """The number of coefficients."""
        return self.rows * self.columns

    @property
    def place(self) -> slice:
        """The coefficients of the band in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class BandGroup:
    """All bands of one octave that have the same shape: those of `planes` planes, each in `orientations` orientations."""

    octave: int
    planes: int
    orientations: int
    rows: int
    columns: int
    start: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(planes, orientations, rows, columns)."""
        return self.planes, self.orientations, self.rows, self.columns

    @property
    def coarse(self) -> bool:
        """Whether the group holds the coarse pictures."""
        return self.orientations == 1

    @property
    def size(self) -> int:
        """The number of coefficients."""
        return self.planes * self.orientations * self.rows * self.columns

    @property
    def place(self) -> slice:
        """The coefficients of the group in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class BandLayout:
    """The bands of `planes` planes of `height` x `width` after `octaves` octaves, coarsest first, then by plane, then by orientation.

    Only the first `fine_planes` planes have details of octave 1; `height` and `width` are multiples of 2 ** `octaves`.
    """

    planes: int
    fine_planes: int
    height: int
    width: int
    octaves: int

    @cached_property
    def groups(self) -> tuple[BandGroup, ...]:
        """The groups in order: the coarse pictures, then the details from the coarsest to the finest octave."""
        found, start = [], 0
        for octave in range(self.octaves, 0, -1):
            planes = self.planes if octave > 1 else self.fine_planes
            kinds = [(self.planes, 1), (planes, 3)] if octave == self.octaves else [(planes, 3)]
            for count, orientations in kinds:
                found.append(BandGroup(octave, count, orientations, self.height >> octave, self.width >> octave, start))
                start += found[-1].size
        return tuple(found)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The bands in order."""
        found = []
        for group in self.groups:
            size = group.rows * group.columns
            for plane in range(group.planes):
                for index in range(group.orientations):
                    start = group.start + (plane * group.orientations + index) * size
                    orientation = COARSE if group.coarse else index + 1
                    found.append(Band(plane, group.octave, orientation, group.rows, group.columns, start))
        return tuple(found)

    @property
    def size(self) -> int:
        """The number of coefficients of a frame."""
        return self.groups[-1].start + self.groups[-1].size


def padded_size(height: int, width: int) -> tuple[int, int]:
    """The size of the planes of samples of a tree: multiples of 2 ** SAMPLE_OCTAVES."""
    whole = 1 << SAMPLE_OCTAVES
    return -(-height // whole) * whole, -(-width // whole) * whole


def sample_bands(height: int, width: int, full_chroma: bool = False) -> BandLayout:
    """The bands of the planes Y', Cb and Cr of a frame of a tree. Cb and Cr have details of the finest octave with `full_chroma` only."""
    return BandLayout(3, 3 if full_chroma else 1, *padded_size(height, width), SAMPLE_OCTAVES)


def sample_bands_of(height: int, width: int, coefficients: int) -> BandLayout:
    """The bands of a frame with so many coefficients, which tell whether Cb and Cr have details of the finest octave."""
    smooth = sample_bands(height, width)
    return smooth if smooth.size == coefficients else sample_bands(height, width, full_chroma=True)


def motion_bands(height: int, width: int) -> BandLayout:
    """The bands of the planes of motion of a frame of a tree."""
    whole = MOTION_CELL << MOTION_OCTAVES
    rows, columns = (-(-size // whole) * whole // MOTION_CELL for size in (height, width))
    return BandLayout(MOTION_PLANES, MOTION_PLANES, rows, columns, MOTION_OCTAVES)

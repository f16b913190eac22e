"""The orientation of a stream: how a player turns and mirrors its frames, from the display matrix of the container."""

import struct
from dataclasses import dataclass

import numpy as np

MATRIX_BYTES = 36  # nine 32-bit integers, row by row


@dataclass(frozen=True)
class Orientation:
    """The turn of a frame: rows and columns are swapped if `transposed`; then columns, rows or both are reversed."""

    transposed: bool = False
    columns_reversed: bool = False
    rows_reversed: bool = False

    @classmethod
    def of(cls, frame) -> "Orientation":
        """The orientation of a decoded frame. A rotation by another angle than a multiple of 90 degrees gives the nearest one.

        The display matrix maps the position (x, y) to (a x + c y, b x + d y), as ISO/IEC 14496-12, section 8.3.2, defines it.
        """
        try:
            matrices = [bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"]
        except ValueError:  # data of a kind that PyAV does not know, such as EXIF; the rotation alone is known then
            quarters = round(frame.rotation / 90) % 4
            return cls(quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2))
        for matrix in matrices:
            if len(matrix) >= MATRIX_BYTES:
                a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:MATRIX_BYTES])
                if abs(b) + abs(c) > abs(a) + abs(d):
                    return cls(True, c < 0, b < 0)
                return cls(False, a < 0, d < 0)
        return cls()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The width and height of a turned frame."""
        return (height, width) if self.transposed else (width, height)

    def turned(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` (h w c) as a player shows them."""
        pixels = pixels.transpose(1, 0, 2) if self.transposed else pixels
        return np.ascontiguousarray(pixels[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1])

"""The price of pixels that are identical on every machine: PSNR of files whose rendering computes with integers.

    python benchmarks/exact_pixels.py FILE.inr SOURCE [FILE.inr SOURCE ...]

Sums of floats depend on their order, so two machines may differ by a level. Integers in float32 are exact as long as all sums stay below
2^24. This script renders files with the NumPy decoder, and rounds and limits every value that a multiplication reads, as such a profile
would: features of convolutions to FRACTION bits after the point within a range of 2^13 steps, planes of a tree to PLANE bits, factors to
FACTOR bits. Weights are symbols, which are integers already, times one factor for each tensor. `rounded` is the mean PSNR of these frames;
`bits_percent` is the difference in bits, at 27 % for each decibel, which is the slope of trees (canvases: 20 to 30 %). The time of such a
renderer is not measured here. The script writes benchmarks/exact_pixels.csv.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tables import write_rows

import inr.reference.frames
import inr.reference.tree
from codec.clip import open_file
from codec.evaluation import mean_psnr
from inr.backend import Backend
from inr.reading import read_video

FRACTIONS, PLANES = (6, 8, 10), (10, 12, 14)  # bits after the point; 8 bits after the point make one level of a plane in [0, 1]
FACTOR = 8  # bits of the factors of a mix and of a fade, and of shares of neighbours
STEP_BITS = 5  # a step size of a tree is about 2^-5 of the range of a plane
RANGE = 13  # bits of a feature in all, without its sign
PERCENT_PER_DECIBEL = 27.0


def to_grid(values: np.ndarray, bits: int, most: float = np.inf) -> np.ndarray:
    """`values` as multiples of 2^-bits, limited to -most .. most."""
    return np.clip(np.rint(values * 2.0**bits), -most, most).astype(np.float32) * np.float32(2.0**-bits)


@contextmanager
def integers(fraction: int, plane: int) -> Iterator[None]:
    """The NumPy decoder with rounded values."""
    frames, tree = inr.reference.frames, inr.reference.tree

    def after(function: Callable, bits: int) -> Callable:
        return lambda *arguments: to_grid(function(*arguments), bits)

    def convolution(x, kernel, bias):
        return frames.__dict__["exact"](to_grid(x, fraction, 2.0**RANGE), kernel, bias)

    with ExitStack() as stack:
        stack.enter_context(patch.object(frames, "exact", frames.convolution, create=True))
        stack.enter_context(patch.object(frames, "convolution", convolution))
        for name, bits in (("doubled", plane), ("bilinear", plane), ("sigmoid", FACTOR)):
            stack.enter_context(patch.object(frames, name, after(getattr(frames, name), bits)))
        in_symbols = plane - STEP_BITS
        for name, bits in (("doubled", plane), ("bilinear", plane), ("sigmoid", FACTOR), ("join_97", in_symbols), ("_frame", plane)):
            stack.enter_context(patch.object(tree, name, after(getattr(tree, name), bits)))
        yield


def main() -> None:
    """Render every file as it is and rounded, and write the table."""
    names = sys.argv[1:]
    if len(names) < 2 or len(names) % 2:
        raise SystemExit(__doc__)
    rows = []
    for path, source in zip(names[::2], names[1::2], strict=True):
        frames = read_video(source).frames
        clip = open_file(path, backend=Backend.NUMPY)
        is_tree = type(clip.model.spec.frame_input).__name__ == "FrameTree"
        before = mean_psnr(clip[:], frames)
        for fraction, plane in zip(FRACTIONS, PLANES, strict=True):
            with integers(fraction, plane):
                after = mean_psnr(open_file(path, backend=Backend.NUMPY)[:], frames)
            bits = plane if is_tree else fraction
            row = {"file": Path(path).stem, "model": "tree" if is_tree else "network", "bits_after_point": bits}
            row |= {"psnr_rgb": f"{before:.3f}", "rounded": f"{after:.3f}", "bits_percent": f"{PERCENT_PER_DECIBEL * (before - after):.2f}"}
            rows.append(row)
            print(rows[-1], flush=True)
    write_rows(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

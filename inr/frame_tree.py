"""The order in which the frames of a tree are decoded, and the frames that each one reads. This module loads no JAX.

Key frames stand `distance` frames apart, and one is the last frame. The first key frame reads no frame, a later one reads the key frame
before it. Between two key frames, the middle frame reads both; then the middle frames of both halves read their ends, and so on, as the
hierarchical B frames of H.264 do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True)
class TreeFrame:
    """A frame: its index, the indices of the frames that it reads (0, 1 or 2), and its level: 0 for key frames."""

    index: int
    references: tuple[int, ...]
    level: int


@lru_cache(maxsize=64)
def frame_tree(frames: int, distance: int) -> tuple[TreeFrame, ...]:
    """The frames of a video of `frames` frames in the order of decoding: level by level between two key frames."""
    keys = [*range(0, frames - 1, distance), frames - 1] if frames > 1 else [0]
    found = [TreeFrame(0, (), 0)]
    for first, last in pairwise(keys):
        found.append(TreeFrame(last, (first,), 0))
        spans, level = [(first, last)], 1
        while spans := [span for span in spans if span[1] - span[0] > 1]:
            found += [TreeFrame((a + b) // 2, (a, b), level) for a, b in spans]
            spans, level = [half for a, b in spans for half in ((a, (a + b) // 2), ((a + b) // 2, b))], level + 1
    return tuple(found)


def needed(frames: int, distance: int, wanted: Iterable[int]) -> tuple[TreeFrame, ...]:
    """The frames that must be decoded for those of `wanted`, in the order of decoding."""
    tree = frame_tree(frames, distance)
    missing = set(wanted)
    for frame in reversed(tree):
        if frame.index in missing:
            missing.update(frame.references)
    return tuple(frame for frame in tree if frame.index in missing)

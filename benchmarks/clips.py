"""The clips that the scripts measure on. They lie in the folder that the environment variable INR_CLIPS names."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from inr.reading import read_video
from inr.scale import Scale
from inr.span import Span
from inr.video import Video


def clip(name: str) -> Path:
    """The path of a clip; ends the process with a reason if the clip is not there."""
    folder = os.environ.get("INR_CLIPS")
    if not folder or not (Path(folder) / name).exists():
        sys.exit(f"skipped: INR_CLIPS is unset or holds no {name}")
    return Path(folder) / name


@dataclass(frozen=True)
class ClipPart:
    """A clip's file, and the frames and the size that are taken of it."""

    file: str
    frames: Span = (None, None)
    scale: str = ""

    def read(self) -> Video:
        """The frames."""
        return read_video(clip(self.file), self.frames, Scale.parse(self.scale))


FRAMES, SCALE = (0, 32), "320x160"
PAIR = {
    "bunny-small": ClipPart("bunny-small.mkv", FRAMES, SCALE),
    "BasketballPass": ClipPart("BasketballPass_416x240_100f.ffv1.mkv", FRAMES, SCALE),
}

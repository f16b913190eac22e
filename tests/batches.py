"""Small batches for tests: sources, and what a batch leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from conftest import Outcome
from test_picture import painted

from inr.video import Video
from inr.writing import write_video
from train.batch.manifest import Row
from train.batch.many import prepared
from train.batch.running import Batch

STEPS = 48
Run = Callable[..., Outcome]


def write_sources(folder: Path, clip: Video) -> Path:
    """Write two pictures, a clip, a file that is no picture, and a table of them; returns `folder`."""
    for shift in (0, 5):
        iio.imwrite(folder / f"p{shift}.png", np.roll(painted(24, 32).frames[0], shift, axis=1))
    write_video(clip, str(folder / "square.mkv"))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "jobs.csv").write_text("source,target_bpp,model\np0.png,,\nbroken.png,,\np5.png,,\nsquare.mkv,1.5,cam\n")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of the files of a batch by name."""
    return {path.name: path.read_bytes() for path in folder.glob("items/*/*.inr")}


def lines(outcome: Outcome) -> list[dict]:
    """The JSON objects that a command printed."""
    return [json.loads(line) for line in outcome.out.splitlines()]


def batch_of(folder: Path, *sources: Path, **options: object) -> Batch:
    """A batch of sources in `folder`, with fits of STEPS steps."""
    return prepared([Row(source, source.stem, {"preset": str(STEPS), **options}) for source in sources], folder)

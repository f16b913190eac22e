"""A second renderer of all networks, in NumPy alone: it follows codec/FORMAT.md ("Rendering") step by step.

It shares no function of rendering with the modules that use JAX, so each of the two checks the other. It needs no compilation, so it shows
a first frame sooner, and machines without JAX can decode. Names are those of FORMAT.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from inr.pixels import CHANNELS, Frames
from inr.reference.frames import rendered_frames
from inr.reference.tree import tree_frames
from inr.spec import FrameTree, NetworkSpec, VideoSpec


def render(spec: NetworkSpec, video: VideoSpec, tensors: Mapping[str, np.ndarray], indices: Sequence[float] | None = None) -> Frames:
    """Render the frames at `indices` (default: all, in order) as uint8 R'G'B' (t h w 3), as `inr.rendering.render` does."""
    wanted = list(range(video.frames)) if indices is None else list(indices)
    out = np.empty((len(wanted), video.height, video.width, CHANNELS), np.uint8)
    with np.errstate(all="ignore"):  # of files with extreme fields, pixels may be anything, but nothing fails
        frames = tree_frames if isinstance(spec.frame_input, FrameTree) else rendered_frames
        for at, pixels in frames(spec, video, tensors, wanted):
            out[at] = pixels
    return out

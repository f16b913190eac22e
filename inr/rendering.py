"""Renders frames of a network as 8-bit pixels, in any order."""

from collections.abc import Iterable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from inr.levels import to_levels
from inr.network import Tensors, bind
from inr.pixels import CHANNELS, Frames
from inr.spec import FrameTree, NetworkSpec, VideoSpec
from inr.tree_rendering import render_tree

BATCH_PIXELS = 1 << 20  # the most pixels of frames that are rendered together (a larger frame is rendered alone): this bounds memory


@lru_cache(maxsize=16)
def _renderer(spec: NetworkSpec, video: VideoSpec):
    """Two compiled functions: one renders the picture of the canvas, the other one renders frames (uint8) with this picture."""
    # By default, a TPU multiplies in bfloat16, which changes pixels by whole 8-bit levels; "highest" makes it multiply in float32.
    network = bind(spec, video)

    @jax.jit
    def canvas_picture(tensors):
        with jax.default_matmul_precision("highest"):
            return network(tensors).canvas_picture()

    @partial(jax.jit, static_argnames="consecutive")
    def rendered(tensors, indices, picture, consecutive):
        with jax.default_matmul_precision("highest"):
            return to_levels(network(tensors)(indices, picture, consecutive))

    return canvas_picture, rendered


def render(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, indices: Iterable[float] | None = None) -> Frames:
    """Render the frames at `indices` (default: all, in order) as uint8 R'G'B' (t h w 3).

    The pixels of a frame do not depend on the other requested frames. If an index is not an integer, its frame lies between two frames
    of the video: embeddings, grids and flows are interpolated linearly.
    """
    if isinstance(spec.frame_input, FrameTree):
        return render_tree(spec.frame_input, video, tensors, range(video.frames) if indices is None else list(indices))
    wanted = np.arange(video.frames) if indices is None else np.asarray(list(indices))
    wanted = wanted.astype(np.float32 if np.any(wanted % 1) else np.int32)
    batch = max(1, min(len(wanted), BATCH_PIXELS // (video.height * video.width)))
    canvas_picture, rendered = _renderer(spec, video)
    on_device = {name: jnp.asarray(tensor) for name, tensor in tensors.items()}
    picture = canvas_picture(on_device)  # computed once for all batches
    out = np.empty((len(wanted), video.height, video.width, CHANNELS), np.uint8)
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        consecutive = bool(spec.neighbours) and bool(np.all(np.diff(part) == 1))  # then a neighbour of several frames is rendered once
        padded = part[0] + np.arange(batch) if consecutive else np.resize(part, batch)  # all batches have one size, so JAX compiles once
        out[start : start + len(part)] = np.asarray(rendered(on_device, jnp.asarray(padded), picture, consecutive=consecutive))[: len(part)]
    return out

"""Render a network: any frames, in any order, as 8-bit pixels."""

from collections.abc import Iterable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from inr.network import Tensors, bind
from inr.pixels import CHANNELS, MAX_LEVEL, Frames
from inr.spec import NetworkSpec, VideoSpec

BATCH_PIXELS = 1 << 20  # pixels of the frames that are rendered together, about: this bounds memory


def to_levels(x: Float[Array, "t h w 3"]) -> UInt8[Array, "t h w 3"]:
    """`x` limited to [0, 1] and rounded to the nearest of 256 levels, halves to even."""
    return jnp.round(jnp.clip(x, 0, 1) * MAX_LEVEL).astype(jnp.uint8)


@lru_cache(maxsize=16)
def _renderer(spec: NetworkSpec, video: VideoSpec):
    # Full float32 products everywhere: a TPU's default is bfloat16, which would cost whole pixel levels.
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
    """Frames at `indices` (default: all), uint8 R'G'B'. A frame's pixels do not depend on the other frames asked for.

    An index that is no integer lies between two frames: embeddings, grids and flows are interpolated linearly.
    """
    wanted = np.arange(video.frames) if indices is None else np.asarray(list(indices))
    wanted = wanted.astype(np.float32 if np.any(wanted % 1) else np.int32)
    batch = max(1, min(len(wanted), BATCH_PIXELS // (video.height * video.width)))
    canvas_picture, rendered = _renderer(spec, video)
    on_device = {name: jnp.asarray(tensor) for name, tensor in tensors.items()}
    picture = canvas_picture(on_device)  # painted once, not once for each batch
    out = np.empty((len(wanted), video.height, video.width, CHANNELS), np.uint8)
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        consecutive = bool(spec.neighbours) and bool(np.all(np.diff(part) == 1))  # shared neighbours are rendered once
        padded = part[0] + np.arange(batch) if consecutive else np.resize(part, batch)  # one batch size: one compilation
        out[start : start + len(part)] = np.asarray(rendered(on_device, jnp.asarray(padded), picture, consecutive=consecutive))[: len(part)]
    return out

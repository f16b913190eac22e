"""Render a network: any frames, in any order, as 8-bit pixels."""

from collections.abc import Iterable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from inr.network import Tensors, bind
from inr.spec import NetworkSpec, VideoSpec

BATCH_PIXELS = 1 << 20  # rendering goes by batches of about this many pixels, to bound memory


def to_uint8(x: Float[Array, "t h w 3"]) -> UInt8[Array, "t h w 3"]:
    """Clamp to [0, 1] and round to the nearest of 256 levels, halves to even."""
    return jnp.round(jnp.clip(x, 0, 1) * 255).astype(jnp.uint8)


@lru_cache(maxsize=16)
def _renderer(spec: NetworkSpec, video: VideoSpec):
    # Full float32 products everywhere: a TPU's default would be bfloat16 and cost whole pixel levels.
    network = bind(spec, video)

    @jax.jit
    def still(tensors):
        with jax.default_matmul_precision("highest"):
            return network(tensors).still()

    @partial(jax.jit, static_argnames="run")
    def rendered(tensors, indices, picture, run):
        with jax.default_matmul_precision("highest"):
            return to_uint8(network(tensors)(indices, picture, run))

    return still, rendered


def render(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, indices: Iterable[float] | None = None) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames at `indices` (default: all), uint8 R'G'B'; the same pixels whatever else is rendered with them.

    An index that is no integer lies between two frames: embeddings, grids and flows are read linearly between theirs.
    """
    wanted = np.arange(video.frames) if indices is None else np.asarray(list(indices))
    wanted = wanted.astype(np.float32 if np.any(wanted % 1) else np.int32)
    batch = max(1, min(len(wanted), BATCH_PIXELS // (video.height * video.width)))
    still, rendered = _renderer(spec, video)
    on_device = {name: jnp.asarray(tensor) for name, tensor in tensors.items()}
    picture = still(on_device)  # painted once, not once a batch
    out = np.empty((len(wanted), video.height, video.width, 3), np.uint8)
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        run = bool(spec.neighbours) and bool(np.all(np.diff(part) == 1))  # neighbours in common are rendered once
        padded = part[0] + np.arange(batch) if run else np.resize(part, batch)  # one batch size: one compilation
        out[start : start + len(part)] = np.asarray(rendered(on_device, jnp.asarray(padded), picture, run=run))[: len(part)]
    return out

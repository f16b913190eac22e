"""The plan of a single frame: a picture's network, the config of its fit, and the values with which the fit starts."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from inr.pixels import MAX_LEVEL, Frames
from inr.spec import ContextSpec, NetworkSpec, Pyramid, VideoSpec
from train.fit.config import FitConfig

CONTEXTS = ContextSpec(neighbours=8, coarser=2, hidden=2)
COARSEST_OCTAVE, LEAST_ENTRIES = 6, 4  # of a pyramid: an entry covers 64 x 64 pixels at most; entries along the long side
NARROW, WIDE, WIDE_FROM = 8, 16, 3000  # widths of the synthesis, and the bytes of a file from which it is wide
FIRST_LOG_SCALE = -2.0  # base-2 logarithm of the scale that a context model predicts at the start of a fit


def picture_spec(video: VideoSpec, bpp: float) -> NetworkSpec:
    """The network of a picture at about `bpp` bits per pixel."""
    octave = math.floor(math.log2(max(video.height, video.width) / LEAST_ENTRIES)) if max(video.height, video.width) > LEAST_ENTRIES else 0
    levels = min(max(octave, 2), COARSEST_OCTAVE)
    width = WIDE if bpp * video.pixels >= 8 * WIDE_FROM else NARROW
    return NetworkSpec(Pyramid(levels, CONTEXTS), width, (), head_kernel=3, head_stride=2)


def picture_config(config: FitConfig, bpp: float) -> FitConfig:
    """`config` for the fit of a picture at about `bpp` bits per pixel."""
    return replace(
        config,
        learning_rate=2e-2,
        lr_decay_after_steps=config.steps,
        warmup=0.02,
        anneal_from=0.85,
        hard_from=0.9,
        initial_bits=8.0,
        weights_from=0.2,
        controller_gain=12.0,
        controller_from=0.25,
        excess_bits=min(max(0.3 / bpp, 0.3), 4.0),
        rate_weight=4e-3 * (bpp / 0.22) ** -1.65,
    )


def picture_values(frames: Frames) -> dict[str, Float32[np.ndarray, "..."]]:
    """The initial values, by tensor name, that depend on the picture: its mean colour; and the first scale of the context model."""
    mean = frames.reshape(-1, frames.shape[-1]).mean(axis=0) / MAX_LEVEL
    return {"paint.bias": mean.astype(np.float32), "contexts.output.bias": np.array([0, FIRST_LOG_SCALE], np.float32)}

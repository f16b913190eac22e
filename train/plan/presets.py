"""From a video and options to a spec and a config."""

from dataclasses import replace

import jax
import numpy as np

from inr.spec import NetworkSpec, VideoSpec
from train.fit.config import FitConfig
from train.plan import paper_networks
from train.plan.network_size import BITS_PER_WEIGHT, MEASURED_BPP, modulated_spec, temporal_grid_length, weight_bits
from train.plan.options import FitOptions

ACCELERATED_BITS = 0.5  # factor of the bits that a weight should cost on an accelerator, where a step of a large network is cheap
ACCELERATED_PIXELS, LARGEST_BATCH = 3_300_000, 8  # of a step there, and its frames at most
DECAY_AFTER, LEAST_DECAY_AFTER = 10_000, 1_800  # steps after which learning rates fall, up to MEASURED_BPP and at high rates
PLAIN_RATE, MODULATED_RATE = 8e-3, 16e-3  # learning rates that papers' networks bear, without and with norm and CAM


def rate_weight(bpp: float) -> float:
    """Weight of bpp against MSE: the slope of ordinary content's curve at `bpp`, as measured."""
    return 1.3e-3 * bpp**-1.2


def lr_decay_steps(video: VideoSpec, bpp: float) -> int:
    """Steps after which learning rates fall: the higher the rate, the finer the details still to be learned (benchmarks/EXPERIMENTS.md)."""
    if video.frames == 1:
        return DECAY_AFTER
    return round(float(np.clip(DECAY_AFTER * (MEASURED_BPP / bpp) ** 1.5, LEAST_DECAY_AFTER, DECAY_AFTER)))


def plan(video: VideoSpec, bpp: float, options: FitOptions, accelerated: bool | None = None) -> tuple[NetworkSpec, FitConfig]:
    """The spec and config for `video` at about `bpp` bits per pixel.

    `accelerated` says whether the fit runs on a GPU or TPU; None: wherever JAX runs.
    """
    config = FitConfig(options.preset.steps, rate_weight=rate_weight(bpp), seed=options.seed)
    size = bpp * video.pixels / BITS_PER_WEIGHT
    match options.model.name:
        case "cam":
            return default_plan(video, bpp, config, jax.default_backend() != "cpu" if accelerated is None else accelerated)
        case "hnerv":
            spec = paper_networks.hnerv_within(video, size)
            config = replace(config, embedder_until=config.anneal_from)
        case "nerv":
            spec = paper_networks.nerv_spec(video, size)
        case "nerv++":
            spec = paper_networks.nerv_plus_plus_spec(video, size)
        case "ffnerv":
            spec = paper_networks.ffnerv_spec(video, size)
        case _:
            spec = paper_networks.nirvana_spec(video, size)
    if not options.model.modulated:
        return spec, replace(config, learning_rate=PLAIN_RATE)
    spec = replace(spec, norm=True, temporal_grid=temporal_grid_length(video.frames))
    return spec, replace(config, learning_rate=MODULATED_RATE)


def default_plan(video: VideoSpec, bpp: float, config: FitConfig, accelerated: bool) -> tuple[NetworkSpec, FitConfig]:
    """The spec of the default family, and `config` adapted to it. On an accelerator the network is larger, and so is the batch."""
    config = replace(config, lr_decay_after_steps=lr_decay_steps(video, bpp))
    if not accelerated or video.frames == 1:
        return modulated_spec(video, bpp), config
    batch = int(np.clip(ACCELERATED_PIXELS // (video.height * video.width), config.batch, LARGEST_BATCH))
    return modulated_spec(video, bpp, ACCELERATED_BITS * weight_bits(video, bpp)), replace(config, batch=batch)

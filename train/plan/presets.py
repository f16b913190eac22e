"""The plan of a fit: a network spec and a config, from a video spec, a rate and options."""

from dataclasses import replace

import jax
import numpy as np

from inr.errors import UsageError
from inr.spec import FrameTree, NetworkSpec, Pyramid, VideoSpec
from train.fit.config import FitConfig
from train.plan import paper_networks
from train.plan.network_size import BITS_PER_WEIGHT, MEASURED_BPP, modulated_spec, temporal_grid_length, weight_bits
from train.plan.options import CANVAS_MODELS, FitOptions
from train.plan.picture import picture_config, picture_spec
from train.plan.tree import tree_config, tree_spec

ACCELERATED_BITS = 0.5  # factor of the expected bits of a weight on an accelerator, where the steps of a larger network are cheap
ACCELERATED_PIXELS, LARGEST_BATCH = 3_300_000, 8  # batch on an accelerator: about this many pixels, at most this many frames
DECAY_AFTER, LEAST_DECAY_AFTER = 10_000, 1_800  # range of `lr_decay_after_steps`: at rates up to MEASURED_BPP, and at high rates
SIREN_RATE, FOURIER_RATE = 2e-3, 4e-3  # learning rates of coordinate networks
PLAIN_RATE, MODULATED_RATE = 8e-3, 16e-3  # learning rates of the papers' networks, without and with norm and CAM


def rate_weight(bpp: float) -> float:
    """The initial rate weight at `bpp` bits per pixel: the measured slope of MSE over bits per pixel, on ordinary content."""
    return 1.3e-3 * bpp**-1.2


def lr_decay_steps(video: VideoSpec, bpp: float) -> int:
    """`lr_decay_after_steps` of a fit's config at `bpp` bits per pixel.

    It falls as the rate rises, because finer details remain to be learned at a higher rate (benchmarks/EXPERIMENTS.md).
    """
    return round(float(np.clip(DECAY_AFTER * (MEASURED_BPP / bpp) ** 1.5, LEAST_DECAY_AFTER, DECAY_AFTER)))


def plan(video: VideoSpec, bpp: float, options: FitOptions, accelerated: bool | None = None) -> tuple[NetworkSpec, FitConfig]:
    """The network spec and the config for `video` at about `bpp` bits per pixel.

    `accelerated` tells whether the fit runs on a GPU or TPU (None: whether JAX does).
    """
    config = FitConfig(options.preset.steps, rate_weight=rate_weight(bpp), seed=options.seed)
    size = bpp * video.pixels / BITS_PER_WEIGHT
    match options.model.name:
        case name if name in CANVAS_MODELS:
            return default_plan(video, bpp, config, jax.default_backend() != "cpu" if accelerated is None else accelerated)
        case "tree":
            return tree_spec(), tree_config(config, video, bpp, options.preset, options.target.target_psnr)
        case "hnerv":
            spec = paper_networks.hnerv_within(video, size)
            config = replace(config, embedder_until=config.anneal_from)
        case "nerv":
            spec = paper_networks.nerv_spec(video, size)
        case "nerv++":
            spec = paper_networks.nerv_plus_plus_spec(video, size)
        case "ffnerv":
            spec = paper_networks.ffnerv_spec(video, size)
        case "nirvana":
            spec = paper_networks.nirvana_spec(video, size)
        case "siren":
            return paper_networks.siren_spec(video, size), replace(config, learning_rate=SIREN_RATE)
        case _:
            return paper_networks.fourier_feature_spec(video, size, options.model.modulated), replace(config, learning_rate=FOURIER_RATE)
    if not options.model.modulated:
        return spec, replace(config, learning_rate=PLAIN_RATE)
    spec = replace(spec, norm=True, temporal_grid=temporal_grid_length(video.frames))
    return spec, replace(config, learning_rate=MODULATED_RATE)


def config_of(spec: NetworkSpec, video: VideoSpec, bpp: float, options: FitOptions) -> FitConfig:
    """The config of a fit of `video` with the network `spec`, which the first video of a bundle determines, perhaps unlike `plan`.

    UsageError if `spec` is that of a picture, and the video has several frames, or if it is that of a tree, which shares no weights.
    """
    if isinstance(spec.frame_input, FrameTree):
        raise UsageError("tree-bundle", "trees of frames share no weights, so a bundle cannot hold one", "--model cam")
    planned, config = plan(video, bpp, options)
    is_picture = isinstance(spec.frame_input, Pyramid)
    if is_picture and video.frames > 1:
        what = f"the network of this bundle is that of pictures, and '{video.name}' has {video.frames} frames"
        raise UsageError("picture-bundle", what, "inr bundle create VIDEOS.inr   for a bundle of videos, or --frames 0:1")
    if is_picture == isinstance(planned.frame_input, Pyramid):
        return config
    config = FitConfig(options.preset.steps, rate_weight=rate_weight(bpp), seed=options.seed)
    return picture_config(config, bpp) if is_picture else config


def default_plan(video: VideoSpec, bpp: float, config: FitConfig, accelerated: bool) -> tuple[NetworkSpec, FitConfig]:
    """The network spec of the default family, and `config` adapted to it. A single frame gets a picture's network.

    On an accelerator (`accelerated`), the network and the batch are larger.
    """
    if video.frames == 1:
        return picture_spec(video, bpp), picture_config(config, bpp)
    config = replace(config, lr_decay_after_steps=lr_decay_steps(video, bpp))
    if not accelerated:
        return modulated_spec(video, bpp), config
    batch = int(np.clip(ACCELERATED_PIXELS // (video.height * video.width), config.batch, LARGEST_BATCH))
    return modulated_spec(video, bpp, ACCELERATED_BITS * weight_bits(video, bpp)), replace(config, batch=batch)

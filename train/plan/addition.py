"""The plan of an addition to a bundle: a further video on the weight layers that the bundle holds."""

import zlib
from dataclasses import replace
from pathlib import Path

from codec.bundle import BundleSettings, bundle_settings
from codec.model import QuantizedModel
from inr.errors import TargetMissed
from inr.layout import tensor_specs
from inr.spec import NetworkSpec, VideoSpec
from train.fit.base_layers import BaseLayers
from train.fit.checkpoint import Workdir
from train.fit.config import FitConfig
from train.fit.fitter import zero_tensor
from train.fit.packing import PackedLayout
from train.fit.problem import Problem
from train.plan.encode_plan import CAP_AIM, EncodePlan
from train.plan.network_size import modulated_spec
from train.plan.options import EncodeOptions, ReuseOptions
from train.plan.presets import config_of, plan


def plan_video(data: bytes, model: QuantizedModel | None, video: VideoSpec, key: str, output: Path, options: EncodeOptions) -> EncodePlan:
    """Plan to add `video` to a bundle, whose bytes are `data`.

    `model` is the content of the bundle, None if it is empty. `key` identifies the run, and `output` is the path of the bundle.
    TargetMissed if the cap is below the least growth of the file.
    """
    reuse = options.reuse or ReuseOptions()
    bpp = options.fit.target.nominal_bpp(video)
    model = model or QuantizedModel(first_network(bundle_settings(data), plan(video, bpp, options.fit)[0], video, bpp), (), ())
    config = config_of(model.spec, video, bpp, options.fit)
    base = BaseLayers(data, model, density_of(data, video, reuse), reuse.every_layer)
    return plan_addition(base, replace(config, corrections=reuse.corrections), video, key, output, options)


def density_of(data: bytes, video: VideoSpec, reuse: ReuseOptions) -> float:
    """The share of the claimed weights that a further video keeps: that of `reuse` if it is given, else 0 for an image and 1 for a video.

    An image that kept another image's layer would take a tenth more bytes (benchmarks/EXPERIMENTS.md). An image keeps all claimed weights
    if it references every layer, or if the bundle is pretrained.
    """
    if reuse.density is not None:
        return reuse.density
    return float(video.frames > 1 or reuse.every_layer or bundle_settings(data).pretrained)


def plan_addition(base: BaseLayers, config: FitConfig, video: VideoSpec, key: str, output: Path, options: EncodeOptions) -> EncodePlan:
    """Plan to add `video` to `base` with the fit's config `config`. `key` and `output` are as for `plan_video`.

    TargetMissed if the cap is below the least growth of the file.
    """
    target = options.fit.target.resolved(video)
    config = replace(config, target_psnr=target.target_psnr)
    cap = target.target_bytes
    if cap is not None:
        config = replace(config, target_bpp=CAP_AIM * 8 * cap / video.pixels)
    # The bytes of the weight masks hardly change over a fit: it changes which weights are dropped, but not their number.
    problem = Problem(base.model.spec, video, config, 8 * least_growth(base, video))
    if cap is not None and cap < problem.overhead_bits // 8:
        least = problem.overhead_bits // 8
        raise TargetMissed(
            "target-too-small", f"{cap} bytes is below what any video adds to '{output}': {least} bytes", f"--target-size {2 * least}"
        )
    here = f"{key}-{zlib.crc32(base.data):08x}"  # with other bytes of the bundle, it is another fit
    workdir = Workdir(options.run.folder(output), here, fresh=not options.run.resume)
    return EncodePlan(problem.on_devices(options.run.devices), options.fit, key, workdir, target, base)


def first_network(settings: BundleSettings, planned: NetworkSpec, video: VideoSpec, bpp: float) -> NetworkSpec:
    """The network of an empty bundle: `planned` for its first video, with the changes that the bundle's settings ask for.

    `bpp` is the first video's rate in bits per pixel.
    """
    spec = modulated_spec(video, bpp, shared=settings.capacity) if settings.capacity else planned
    low = min(1, len(spec.blocks) - 1)  # a Fourier operator needs more cells than the first block has
    blocks = tuple(replace(block, modes=settings.modes) if at == low else block for at, block in enumerate(spec.blocks))
    return replace(spec, blocks=blocks)


def least_growth(base: BaseLayers, video: VideoSpec) -> int:
    """The bytes that a video adds if its symbols are all zero: weight masks, fields, and the records around them."""
    tensors = tensor_specs(base.model.spec, video)
    zeros = {tensor.name: zero_tensor(tensor.shape) for tensor in tensors}
    joined = base.joined(video, zeros, base.first_masks(PackedLayout(tensors)))
    return len(base.encoded(joined, b"0000")) - len(base.data)

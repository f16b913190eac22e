"""Further videos into a bundle, one after the other: what `inr bundle add` does, as a function."""

import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from codec.bundle import Asked, asked_of, begun, origin_of_video
from codec.decoder import decode_bundle
from codec.loading import read_file
from codec.model import QuantizedModel
from inr.errors import InputError, TargetMissed, UsageError
from inr.reading import read_video
from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from inr.writing import check_free
from train.checkpoint import Workdir
from train.config import FitConfig
from train.continual import Ground
from train.display import Display
from train.encoding import CAP_AIM, Encoded, EncodeOptions, Run, carried_out, observed, silent_tensors
from train.origin import origin_of, run_key
from train.presets import modulated_spec, plan
from train.state import layout_of
from train.step import Problem


def add_file(
    source: str | Path,
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Encoded | None:
    """As `add_video`, of a file, a folder or a pattern."""
    started = time.monotonic()
    check_bundle(target)
    return add_video(read_video(source, options.frames, options.scale), target, options, display, say, started)


def check_bundle(target: Path) -> None:
    """InputError if there is no bundle `target`, OutputError if it may not be written to."""
    if not target.is_file():
        raise InputError("missing-bundle", f"no such bundle: '{target}'", f"inr bundle create '{target}'   then the same command")
    check_free(target, overwrite=True)


def add_video(
    video: Video,
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
    started: float | None = None,
) -> Encoded | None:
    """Fit `video` on the bundle `target` and append it; None if this very run has done so already.

    Sizes, rates and the report are of what the file grows by. UsageError if another video has its name.
    """
    started = time.monotonic() if started is None else started
    check_free(target, overwrite=True)
    data = read_file(target)
    reuse = (options.density, options.corrections, options.every_layer)
    key = run_key(video, options.wish, options.preset, options.model, options.seed, options.time_budget, reuse)
    model = decode_bundle(data) if begun(data) else None
    if stands_already(model, VideoSpec.of(video), key):
        return None
    path, described = observed(video, options)
    run = replace(prepared(data, model, described, target, options, key), path=path)
    layers = ", ".join(map(str, run.ground.layers)) if run.ground else ""
    say(f"'{video.name}' into '{target}', on " + (f"its layers {layers}" if layers else "none of its layers"))
    return carried_out(run, video, target, options, display, say, started)


def stands_already(model: QuantizedModel | None, video: VideoSpec, key: str) -> bool:
    """Whether this run's video is in the bundle (None: an empty one); UsageError if another of that name is, or if it has none."""
    if not video.name:
        raise UsageError("no-name", "a video in a bundle needs a name", "give it one: it is called after its file")
    if model is None:
        return False
    names = [model.videos[entries[0]].spec.name for entries in model.clips]
    if video.name not in names:
        return False
    if origin_of_video(model, model.clips[names.index(video.name)][0]) == origin_of(key):
        return True
    raise UsageError("duplicate-name", f"the bundle holds a video '{video.name}' already; nothing was changed", "rename the source file")


def prepared(data: bytes, model: QuantizedModel | None, video: VideoSpec, target: Path, options: EncodeOptions, key: str) -> Run:
    """Plan an addition; TargetMissed if its cap is out of reach."""
    bpp = options.wish.nominal_bpp(video)
    spec, config = plan(video, bpp, options.preset, options.model, options.seed)
    model = model or QuantizedModel(first_network(asked_of(data), spec, video, bpp), (), ())
    config = replace(config, corrections=options.corrections)
    return on_ground(Ground(data, model, density_of(data, video, options), options.every_layer), config, video, target, options, key)


def density_of(data: bytes, video: VideoSpec, options: EncodeOptions) -> float:
    """What a further video keeps of the layers below: all, unless it is asked otherwise.

    But an image keeps nothing of another one's layer, which would cost it a tenth of its bytes (benchmarks/RESULTS.md).
    """
    if options.density is not None:
        return options.density
    return float(video.frames > 1 or options.every_layer or asked_of(data).learned)


def on_ground(ground: Ground, config: FitConfig, video: VideoSpec, target: Path, options: EncodeOptions, key: str) -> Run:
    """Plan what is added to a ground; TargetMissed if its cap is out of reach."""
    wish = options.wish
    config = replace(config, target_psnr=wish.target_psnr)
    if (cap := wish.cap(video)) is not None:
        config = replace(config, target_bpp=CAP_AIM * 8 * cap / video.pixels)
    # The masks' share of a record hardly changes over a fit: which weights are dropped does, how many does not.
    problem = Problem(ground.model.spec, video, config, 8 * least_growth(ground, video))
    if cap is not None and cap < problem.overhead_bits // 8:
        least = problem.overhead_bits // 8
        raise TargetMissed(
            "target-too-small", f"{cap} bytes is below what any video adds to '{target}': {least} bytes", f"--target-size {2 * least}"
        )
    here = f"{key}-{zlib.crc32(ground.data):08x}"  # a fit on another ground is another fit
    return Run(problem, key, Workdir(options.folder(target), here, fresh=not options.resume), cap, ground)


def first_network(asked: Asked, planned: NetworkSpec, video: VideoSpec, bpp: float) -> NetworkSpec:
    """The network that an empty bundle gets: the one planned for its first video, with what the bundle was created to have."""
    spec = modulated_spec(video, bpp, backbone=asked.capacity) if asked.capacity else planned
    low = min(1, len(spec.blocks) - 1)  # the first block's features are a few cells: too few for waves
    blocks = tuple(replace(block, modes=asked.modes) if at == low else block for at, block in enumerate(spec.blocks))
    return replace(spec, blocks=blocks)


def least_growth(ground: Ground, video: VideoSpec) -> int:
    """Bytes that a video of nothing but zeros adds: masks, fields, and what surrounds them."""
    silent = ground.joined(video, silent_tensors(ground.model.spec, video), ground.first_masks(layout_of(ground.model.spec, video)))
    return len(ground.encoded(silent, b"0000")) - len(ground.data)

"""Further videos into a bundle, one after the other: `inr bundle add` as a function."""

import time
from dataclasses import replace
from pathlib import Path

from codec.bundle import fingerprint_of_video, has_network
from codec.decoder import decode_bundle
from codec.loading import read_file
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError
from inr.reading import read_video
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import check_free
from train.encode.outcome import Encoded
from train.encode.run import run_plan
from train.fit.progress import Reporter
from train.plan.addition import plan_video
from train.plan.encode_plan import analyse_motion
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions, ReuseOptions


def add_file(source: str | Path, bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Encoded | None:
    """As `add_video`, for a file, a folder or a pattern."""
    options = options.with_run(started=time.monotonic())
    check_bundle(bundle)
    return add_video(read_video(source, options.selection.frames, options.selection.scale), bundle, options, reporter)


def check_bundle(bundle: Path) -> None:
    """InputError if there is no file `bundle`, OutputError if it may not be written to."""
    if not bundle.is_file():
        raise InputError("missing-bundle", f"no such bundle: '{bundle}'", f"inr bundle create '{bundle}'   then the same command")
    check_free(bundle, overwrite=True)


def add_video(video: Video, bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Encoded | None:
    """Fit `video` on the layers of `bundle` and append it; None if this very run has done so already.

    Sizes, rates and the report are of the file's growth. UsageError if another video has its name.
    """
    started = time.monotonic() if options.run.started is None else options.run.started
    options, reporter = replace(options, reuse=options.reuse or ReuseOptions()), reporter or Reporter()
    check_free(bundle, overwrite=True)
    data = read_file(bundle)
    key = run_key(video, options.identity())
    model = decode_bundle(data) if has_network(data) else None
    if is_added(model, VideoSpec.of(video), key):
        return None
    path, described = analyse_motion(video, options.fit)
    plan = replace(plan_video(data, model, described, key, bundle, options), path=path)
    layers = ", ".join(map(str, plan.base.layers)) if plan.base else ""
    reporter.say(f"'{video.name}' into '{bundle}', on " + (f"its layers {layers}" if layers else "none of its layers"))
    return run_plan(plan, video, bundle, started, reporter, options.run.workdir)


def is_added(model: QuantizedModel | None, video: VideoSpec, key: str) -> bool:
    """Whether this run's video is in the bundle (None: an empty one).

    UsageError if the bundle has another video of that name, or if the video has no name.
    """
    if not video.name:
        raise UsageError("no-name", "a video in a bundle needs a name", "give it one: it is called after its file")
    if model is None:
        return False
    names = [model.videos[entries[0]].spec.name for entries in model.clips]
    if video.name not in names:
        return False
    if fingerprint_of_video(model, model.clips[names.index(video.name)][0]) == fingerprint_of(key):
        return True
    raise UsageError("duplicate-name", f"the bundle holds a video '{video.name}' already; nothing was changed", "rename the source file")

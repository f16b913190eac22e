"""Adds further videos to a bundle, one after the other: `inr bundle add` as a function."""

import time
from dataclasses import replace
from pathlib import Path

from codec.bundle import fingerprint_of_video, has_network
from codec.decoder import decode_bundle
from codec.loading import read_file
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError
from inr.files import check_free, locked
from inr.reading import read_video
from inr.spec import VideoSpec
from inr.video import Video
from train.encode.outcome import Encoded
from train.encode.run import run_plan
from train.fit.progress import Reporter
from train.plan.addition import plan_video
from train.plan.encode_plan import analyse_motion
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions, ReuseOptions


def add_file(source: str | Path, bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Encoded | None:
    """Read a video from `source` (a video file, an image, or a folder or pattern of images) and add it by `add_video`.

    If another run writes the bundle, this one waits for its end.
    """
    options = options.with_run(started=time.monotonic())
    check_bundle(bundle)
    video = read_video(source, options.selection.frames, options.selection.scale)
    with locked(bundle, (reporter or Reporter()).say):
        return add_video(video, bundle, options, reporter)


def check_bundle(bundle: Path) -> None:
    """Check the path of a bundle; InputError if there is no such file, OutputError if it cannot be written."""
    if not bundle.is_file():
        raise InputError("missing-bundle", f"no such bundle: '{bundle}'", f"inr bundle create '{bundle}'   then the same command")
    check_free(bundle, overwrite=True)


def add_video(video: Video, bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Encoded | None:
    """Fit `video` on the weight layers of a bundle and append it; None if the same run has added it before.

    Sizes and rates, in the options and in the report, are those of the file's growth. UsageError if the video has no name, or if another
    video in the bundle has its name.
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
    reporter.say(f"adding '{video.name}' to '{bundle}', on " + (f"its weight layers {layers}" if layers else "none of its weight layers"))
    return run_plan(plan, video, bundle, started, reporter, options.run.workdir)


def is_added(model: QuantizedModel | None, video: VideoSpec, key: str) -> bool:
    """Whether the run that `key` identifies has added `video` to the bundle, whose content is `model` (None: an empty bundle).

    UsageError if the video has no name, or if another video in the bundle has its name.
    """
    if not video.name:
        raise UsageError("no-name", "a video in a bundle needs a name", "a source file with a name: the video gets the name of its file")
    if model is None:
        return False
    names = [model.videos[entries[0]].spec.name for entries in model.clips]
    if video.name not in names:
        return False
    if fingerprint_of_video(model, model.clips[names.index(video.name)][0]) == fingerprint_of(key):
        return True
    raise UsageError("duplicate-name", f"the bundle holds a video '{video.name}' already; nothing was changed", "rename the source file")

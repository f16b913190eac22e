"""Encodes a source on disk to a file: the function behind `inr encode`, which Python code can call as well."""

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from codec.loading import is_inr_file
from codec.streams import size_of, streams_of, with_streams
from inr.errors import InputError, StreamWarning, TargetMissed
from inr.files import check_free, locked, write_atomically
from inr.reading import Extent, probe, read_video
from inr.spec import VideoSpec
from inr.streams import Streams, read_streams
from train.encode.default_segments import in_segments
from train.encode.outcome import Encoded
from train.encode.run import encode_video
from train.encode.segments import encode_segments
from train.fit.problem import Problem
from train.fit.progress import Reporter
from train.plan.duration import duration_line, foreseen_step_seconds
from train.plan.encode_plan import least_bytes
from train.plan.model_choice import chosen_model
from train.plan.options import EncodeOptions, encode_options
from train.plan.presets import plan


def encode_file(
    source: str | Path, output: str | Path, options: EncodeOptions | None = None, reporter: Reporter | None = None, **keywords: Any
) -> Encoded | None:
    """Fit a network to `source` and write `output`; None if `output` is the finished file of the same run already.

    Options may be keywords instead: `encode_file("a.mp4", "a.inr", target_bpp=0.05, time_budget=300)`; see `encode_options`. After Ctrl-C,
    `output` holds the fit so far, and `interrupted` is True in the result; for a video in segments, Ctrl-C raises Preempted. InrError for
    every expected error, TypeError if both options and keywords are given, Preempted if a signal asks to leave. None of these leaves a
    half-written file.
    """
    if options is not None and keywords:
        raise TypeError(f"give options or keywords, not both: {', '.join(keywords)}")
    options, output, reporter = options or encode_options(**keywords), Path(output), reporter or Reporter()
    check_free(output, overwrite=True, sources=[Path(source)])
    if Path(source).is_file() and is_inr_file(Path(source)):
        what = f"'{source}' is an .inr file already"
        raise InputError("inr-input", what, f"inr retarget '{source}' OUT.inr --target-size 100kB   or inr decode '{source}' OUT.mkv")
    with locked(output, reporter.say):
        if options.selection.streams == "none":
            return _encode(source, output, options, reporter)
        extent = probe(source, options.selection.frames, options.selection.scale)
        streams = read_streams(Path(source), options.selection.frames)
        cap = options.fit.target.cap(VideoSpec(extent.width, extent.height, max(extent.frames, 1), extent.fps))
        what = f"{size_of(streams)} bytes of sound and the like"
        if cap is not None and size_of(streams) > cap / 2 and options.selection.streams == "auto":
            reporter.say(f"{what} are more than half of the cap: they are left out; --streams copy keeps them")
            return _encode(source, output, options, reporter)
        if cap is not None and size_of(streams) >= cap:
            raise TargetMissed("target-too-small", f"{what} leave nothing of a cap of {cap} bytes", "--streams none   or a larger target")
        target = replace(options.fit.target, reserved=size_of(streams))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StreamWarning)  # what it tells of is copied
            encoded = _encode(source, output, options.with_fit(target=target), reporter)
        return _with_streams(encoded, output, streams)


def _with_streams(encoded: Encoded | None, output: Path, streams: Streams) -> Encoded | None:
    """Put `streams` into the finished file `output`, unless it has them, as after a crash between the two writes it has not."""
    data = output.read_bytes()
    if streams_of(data) != streams:
        write_atomically(output, with_streams(data, streams))
    if encoded is None:
        return None
    target, size = encoded.target, size_of(streams)
    whole = replace(target, target_bytes=None if target.target_bytes is None else target.target_bytes + size)
    return replace(encoded, report=encoded.report.with_streams(size), target=whole)


def _encode(source: str | Path, output: Path, options: EncodeOptions, reporter: Reporter) -> Encoded | None:
    options = chosen_model(source, asked := options)
    if options != asked and options.fit.model.name == "tree":
        reporter.say("a tree of frames suits this video and target, as with --model tree")
    options, scenes = in_segments(source, output, options, reporter)
    if not output.exists() and options.fit.time_budget is None:
        announce(source, options, reporter)
    if options.segmentation is not None:
        return encode_segments(source, output, options, reporter, scenes)
    return encode_video(read_video(source, options.selection.frames, options.selection.scale), output, options, reporter)


def announce(source: str | Path, options: EncodeOptions, reporter: Reporter) -> None:
    """Report the predicted duration of the fit, before the source is read and before anything large is compiled."""
    extent: Extent = probe(source, options.selection.frames, options.selection.scale)
    video = VideoSpec(extent.width, extent.height, extent.frames)
    cap = options.fit.target.cap(video) if extent.frames else 0
    if cap is not None and cap < least_bytes(replace(video, frames=1)):  # the encode itself will refuse such a source or cap
        return
    length = options.segmentation.frames if options.segmentation else 0
    part = replace(video, frames=min(length, video.frames)) if length else video
    spec, config = plan(part, options.fit.target.nominal_bpp(video), options.fit)
    problem = Problem(spec, part, config)
    line = duration_line(problem, foreseen_step_seconds(problem))
    reporter.say("predicted: " + (f"in each of about {math.ceil(video.frames / length)} segments, {line}" if length else line))

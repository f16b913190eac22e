"""Encodes a long video in segments, with one segment in memory at a time: `inr encode --chunk` as a function."""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from codec.bitstream import BitstreamError
from codec.bundle import BundleSettings, empty_bundle
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import combine_reports, compare
from codec.model import QuantizedModel
from inr.errors import UsageError
from inr.files import check_free, write_atomically
from inr.spec import VideoSpec
from inr.video import Video
from train.encode.outcome import Encoded
from train.encode.run import run_plan
from train.encode.tree_run import run_tree
from train.fit.base_layers import PreviousSegment
from train.fit.config import FitConfig
from train.fit.interrupts import Preempted
from train.fit.progress import Reporter
from train.plan.addition import plan_addition
from train.plan.encode_plan import SMALL_FILE, analyse_motion, check_mask, make_plan
from train.plan.fingerprint import fingerprint_of
from train.plan.options import EncodeOptions, FitOptions
from train.plan.pilot import Pilot
from train.plan.presets import plan
from train.plan.segmentation import OVERHEAD_FRAMES, SegmentedSource, segment_target

SEGMENTS_FILE = "segments.inr"  # file of the finished segments, in the run's folder
TREE_FILE = "tree.inr"  # file of the segment that was fitted last, as a tree
END_SHARE = 0.04  # of a time budget that is kept for the measures of the whole file
LEAST_SHARE = 0.1  # of a preset's steps that a scene gets at least
# Seconds of a segment's part of a time budget that are kept for the work after its fit, and for its context models if it is large.
SPARED_SECONDS, CONTEXT_SECONDS = 1.0, 5.0


def encode_segments(
    source: str | Path, output: Path, options: EncodeOptions, reporter: Reporter, scenes: Sequence[int] = ()
) -> Encoded | None:
    """Fit `source` segment by segment and write `output`; None if `output` is the finished file of the same run already.

    A segment starts with the network of the segment before, and is coded as the difference from it; every `key_every`-th segment is coded
    without a reference instead. A cap is divided among the segments by their numbers of frames; bytes that a segment does not use are
    divided among the following segments. `scenes` has the first frames of scenes, if the segments are chosen by the encoder: scenes, and
    parts of long scenes. Such a segment gets its share of a preset's steps, by frames, but at least LEAST_SHARE.

    Errors are those of `encode_video`. A signal to leave, including Ctrl-C, raises Preempted, and the run's folder keeps the finished
    segments. After Ctrl-C, they are also written to `output`.
    """
    started = time.monotonic() if options.run.started is None else options.run.started
    check_mask(options)
    segments = SegmentedSource(source, options, scenes)
    run = _SegmentsRun(segments, output, reporter, started)
    if output.exists() and not options.run.overwrite:
        model = _decoded(output)
        if model is not None and len(model.videos) == len(segments) and segments.is_prefix(model):
            return None
        check_free(output, overwrite=run.so_far.exists())
    return run.encoded()


def _decoded(path: Path) -> QuantizedModel | None:
    """The content of the file `path`; None if there is no such file, or if it cannot be decoded."""
    try:
        return decode(path.read_bytes())
    except (BitstreamError, OSError):
        return None


class _SegmentsRun:
    """One run: it fits the segments in order and appends each to the file of the segments before it."""

    def __init__(self, segments: SegmentedSource, output: Path, reporter: Reporter, started: float):
        self.segments, self.output, self.reporter, self.started = segments, output, reporter, started
        self.options = segments.options
        self.folder = self.options.run.folder(output)
        self.so_far = self.folder / SEGMENTS_FILE
        self.model: QuantizedModel | None = None  # content of the file `so_far`
        self.outcome: Encoded | None = None  # combined outcome of the segments that this process has fitted

    def encoded(self) -> Encoded | None:
        """Fit the unfinished segments in order, then write the output; None if every segment was finished before."""
        self.model = self._finished()
        for index in range(len(self.model.videos) if self.model else 0, len(self.segments)):
            start, end = self.segments.ranges[index]
            self.reporter.say(f"segment {index + 1} of {len(self.segments)}: frames {start}:{end}")
            try:
                self.outcome = _combined(self.outcome, self._add(index))
            except Preempted as left:
                if left.by_hand and self.so_far.exists() and not self.options.run.whole:
                    write_atomically(self.output, self.so_far.read_bytes())
                    self.reporter.say(f"'{self.output}' holds the first {start} of {len(self.segments.source)} frames")
                raise
        data = self.so_far.read_bytes()
        write_atomically(self.output, data)
        shutil.rmtree(self.folder, ignore_errors=True) if self.options.run.workdir is None else self.so_far.unlink()
        return self._whole(data, self.outcome) if self.outcome else None

    def _finished(self) -> QuantizedModel | None:
        """The content of the run's file of finished segments, None without one; UsageError if another run wrote it."""
        model = _decoded(self.so_far) if self.options.run.resume else None
        if model is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.so_far.unlink(missing_ok=True)
        elif not self.segments.is_prefix(model):
            what = f"'{self.folder}' holds an unfinished encode of another input or other options"
            raise UsageError("other-run", what, "--resume never   starts over there")
        return model

    def _add(self, index: int) -> Encoded:
        """Fit segment number `index` and append it to the run's file."""
        began, video = time.monotonic(), self.segments.segment(index)
        if self.options.fit.model.name == "tree":
            return self._add_tree(index, video, began)
        pixel_weights = self.segments.pixel_weights(index, video)
        key = self.segments.key(index, video, pixel_weights)
        data = self.so_far.read_bytes() if self.model else empty_bundle(BundleSettings())
        fit = self._options(index, video, len(data) if self.model else 0, began)
        path, described = analyse_motion(video, fit, pixel_weights)
        own_canvas = not self.model or self._has_own_canvas(self.model, described)
        previous, config = self._previous(data, video, fit, own_canvas)
        options = replace(self.options, fit=fit).with_run(workdir=self.folder / "segment")
        found = plan_addition(previous, config, described, key, self.so_far, options)
        step_seconds = self.outcome.step_seconds if self.outcome else None
        large = fit.target.nominal_bpp(described) * described.pixels > 8 * SMALL_FILE
        spared = SPARED_SECONDS + CONTEXT_SECONDS * large
        found = replace(found, pixel_weights=pixel_weights, path=path if own_canvas else None, spared=spared, step_seconds=step_seconds)
        done = run_plan(found, video, self.so_far, began, self.reporter)
        # The model gets the fingerprints of the file's end record, so that the next segment need not decode the file.
        self.model = replace(done.model, fingerprints=previous.fingerprints + fingerprint_of(key))
        return done

    def _options(self, index: int, video: Video, used: int, began: float) -> FitOptions:
        """The options of the fit of segment number `index`: its part of the cap, of which `used` bytes are spent, and of the time."""
        fit, rest = self.options.fit, self.segments.rest(index)
        fit = replace(fit, target=segment_target(fit.target, VideoSpec.of(video), len(self.segments.source), rest, used))
        if fit.time_budget is not None:
            overhead = OVERHEAD_FRAMES * (len(self.segments) - index)
            share = (len(video) + OVERHEAD_FRAMES) / (rest + overhead)
            left = fit.time_budget * (1 - END_SHARE) - (began - self.started)
            return replace(fit, time_budget=max(left, 0.0) * share)
        if self.segments.scenes:
            share = max(LEAST_SHARE, min(1.0, len(video) / (self.segments.segmentation.frames or len(self.segments.source))))
            return replace(fit, preset=replace(fit.preset, steps=math.ceil(fit.preset.steps * share)))
        return fit

    def _add_tree(self, index: int, video: Video, began: float) -> Encoded:
        """Fit segment number `index` as a tree of its own, and append it to the run's file."""
        used = len(self.so_far.read_bytes()) if self.model else 0
        options = replace(self.options, fit=self._options(index, video, used, began)).with_run(
            workdir=self.folder / "segment", overwrite=True
        )
        pixel_weights = self.segments.pixel_weights(index, video)
        plan = replace(make_plan(video, self.output, options, pixel_weights), key=self.segments.key(index, video, pixel_weights))
        part = self.folder / TREE_FILE
        done = run_tree(plan, video, part, began, self.reporter)
        entry = replace(done.model.videos[0], continues=self.model is not None)
        before = self.model or QuantizedModel(done.model.spec, done.model.layers, ())
        videos, fingerprints = (*before.videos, entry), before.fingerprints + fingerprint_of(plan.key)
        self.model = replace(before, videos=videos, fingerprints=fingerprints)
        write_atomically(self.so_far, encode(self.model))
        part.unlink()
        return replace(done, model=self.model)

    def _has_own_canvas(self, before: QuantizedModel, described: VideoSpec) -> bool:
        """Whether the segment `described` starts with a canvas of its own: it is a scene, or its canvas or the last one has margins."""
        begins_scene = self.segments.ranges[len(before.videos)][0] in self.segments.scenes
        return begins_scene or any(described.margins) or any(before.videos[-1].spec.margins)

    def _previous(self, data: bytes, video: Video, options: FitOptions, new_scene: bool) -> tuple[PreviousSegment, FitConfig]:
        """The base of the next segment, whose frames are `video`, and the config of its fit."""
        described = VideoSpec.of(video)
        bpp = options.target.nominal_bpp(described)
        if self.model is None and options.target.target_psnr is not None:
            bpp = Pilot.of(video, options).expected_bpp(options.target.target_psnr)
        spec, config = plan(described, bpp, options)
        model = self.model or QuantizedModel(spec, (), ())
        every = self.segments.segmentation.key_every
        return PreviousSegment(data, model, continues=bool(model.videos), key_every=every, new_scene=new_scene), config

    def _whole(self, data: bytes, outcome: Encoded) -> Encoded:
        """The outcome of all segments together. The file, whose bytes are `data`, is measured one segment at a time."""
        model = decode(data)
        reports = [compare(model.render_entry(at), self.segments.segment(at).frames, 0) for at in range(len(self.segments))]
        spec, seconds = model.clip_spec(0), time.monotonic() - self.started
        report, problem = combine_reports(reports, len(data), spec.pixels), replace(outcome.problem, video=spec)
        target = self.options.fit.target.resolved(spec)
        return replace(outcome, output=self.output, report=report, problem=problem, target=target, seconds=seconds, model=model)


def _combined(before: Encoded | None, after: Encoded) -> Encoded:
    """Two outcomes as one, with the model and the problem of the later one, so that earlier models can be freed."""
    if before is None:
        return after
    steps = before.steps + after.steps
    return replace(
        after,
        estimated_bits=before.estimated_bits + after.estimated_bits,
        steps=steps,
        seconds_to_first_step=before.seconds_to_first_step,
        step_seconds=(before.steps * before.step_seconds + after.steps * after.step_seconds) / steps,
    )

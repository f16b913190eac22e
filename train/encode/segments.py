"""A long video in segments, only one of them in memory: `inr encode --chunk` as a function."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from codec.bitstream import BitstreamError
from codec.bundle import BundleSettings, empty_bundle
from codec.decoder import decode
from codec.evaluation import combine_reports, compare
from codec.model import QuantizedModel
from inr.errors import UsageError
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import check_free, write_atomically
from train.encode.outcome import Encoded
from train.encode.run import run_plan
from train.fit.base_layers import PreviousSegment
from train.fit.config import FitConfig
from train.fit.interrupts import Preempted
from train.fit.progress import Reporter
from train.plan.addition import plan_addition
from train.plan.encode_plan import check_mask
from train.plan.fingerprint import fingerprint_of
from train.plan.options import EncodeOptions, FitOptions
from train.plan.pilot import Pilot
from train.plan.presets import plan
from train.plan.segmentation import SegmentedSource, segment_target

SEGMENTS_FILE = "segments.inr"  # in a run's folder: the finished segments
SPARED_SECONDS = 1.0  # of a segment's share of a time budget, for the work after its fit


def encode_segments(source: str | Path, output: Path, options: EncodeOptions, reporter: Reporter) -> Encoded | None:
    """Fit `source` segment by segment and write `output`; None if `output` is this very run's finished file already.

    A segment starts as the one before and is coded as the difference from it, except for every `key_every`-th. Segments share a cap by
    frames, and the next ones get what a segment leaves of its share. Errors are those of `encode_video`. Told to leave, Preempted,
    with the finished segments in the run's folder.
    """
    started = time.monotonic() if options.run.started is None else options.run.started
    check_mask(options)
    segments = SegmentedSource(source, options)
    run = _SegmentsRun(segments, output, reporter, started)
    if output.exists() and not options.run.overwrite:
        model = _decoded(output)
        if model is not None and len(model.videos) == len(segments) and segments.is_prefix(model):
            return None
        check_free(output, overwrite=run.so_far.exists())
    return run.encoded()


def _decoded(path: Path) -> QuantizedModel | None:
    """The model in a file; None if there is none."""
    try:
        return decode(path.read_bytes())
    except (BitstreamError, OSError):
        return None


class _SegmentsRun:
    """One run: its segments fitted in turn, each on the file of those before."""

    def __init__(self, segments: SegmentedSource, output: Path, reporter: Reporter, started: float):
        self.segments, self.output, self.reporter, self.started = segments, output, reporter, started
        self.options = segments.options
        self.folder = self.options.run.folder(output)
        self.so_far = self.folder / SEGMENTS_FILE
        self.model: QuantizedModel | None = None  # the model in that file
        self.outcome: Encoded | None = None  # of all segments fitted by this process

    def encoded(self) -> Encoded | None:
        """Fit every segment from the first unfinished one on, then rename the file; None if nothing was left to fit."""
        self.model = self._finished()
        for index in range(len(self.model.videos) if self.model else 0, len(self.segments)):
            start, end = self.segments.ranges[index]
            self.reporter.say(f"segment {index + 1} of {len(self.segments)}: frames {start} to {end}")
            try:
                self.outcome = _combined(self.outcome, self._add(index))
            except Preempted as left:
                if left.by_hand and self.so_far.exists():
                    write_atomically(self.output, self.so_far.read_bytes())
                    self.reporter.say(f"'{self.output}' holds the first {start} of {len(self.segments.source)} frames")
                raise
        data = self.so_far.read_bytes()
        write_atomically(self.output, data)
        shutil.rmtree(self.folder, ignore_errors=True) if self.options.run.workdir is None else self.so_far.unlink()
        return self._whole(data, self.outcome) if self.outcome else None

    def _finished(self) -> QuantizedModel | None:
        """The segments that an earlier attempt at this run has finished; UsageError if they are another run's."""
        model = _decoded(self.so_far) if self.options.run.resume else None
        if model is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.so_far.unlink(missing_ok=True)
        elif not self.segments.is_prefix(model):
            what = f"'{self.folder}' holds an unfinished encode of another input or other options"
            raise UsageError("other-run", what, "--resume never   starts fresh there")
        return model

    def _add(self, index: int) -> Encoded:
        """Fit one segment and append it."""
        began, video = time.monotonic(), self.segments.segment(index)
        described, pixel_weights = VideoSpec.of(video), self.segments.pixel_weights(index, video)
        key = self.segments.key(index, video, pixel_weights)
        data = self.so_far.read_bytes() if self.model else empty_bundle(BundleSettings())
        used, rest = len(data) if self.model else 0, self.segments.rest(index)
        fit = self.options.fit
        fit = replace(fit, target=segment_target(fit.target, described, len(self.segments.source), rest, used))
        if fit.time_budget is not None:
            fit = replace(fit, time_budget=(fit.time_budget - (began - self.started)) * len(video) / rest)
        previous, config = self._previous(data, video, fit)
        options = replace(self.options, fit=fit).with_run(workdir=self.folder / "segment")
        found = plan_addition(previous, config, described, key, self.so_far, options)
        step_seconds = self.outcome.step_seconds if self.outcome else None
        found = replace(found, pixel_weights=pixel_weights, spared=SPARED_SECONDS, step_seconds=step_seconds)
        done = run_plan(found, video, self.so_far, began, self.reporter)
        # With the fingerprints of its end record: the next segment uses the model as it is, and nothing is decoded again.
        self.model = replace(done.model, fingerprints=previous.fingerprints + fingerprint_of(key))
        return done

    def _previous(self, data: bytes, video: Video, options: FitOptions) -> tuple[PreviousSegment, FitConfig]:
        """The segments that the next one follows, and the way it is fitted."""
        described = VideoSpec.of(video)
        bpp = options.target.nominal_bpp(described)
        if self.model is None and options.target.target_psnr is not None:
            bpp = Pilot.of(video, options).expected_bpp(options.target.target_psnr)
        spec, config = plan(described, bpp, options)
        model = self.model or QuantizedModel(spec, (), ())
        key_every = self.segments.segmentation.key_every
        return PreviousSegment(data, model, continues=bool(model.videos), key_every=key_every), config

    def _whole(self, data: bytes, outcome: Encoded) -> Encoded:
        """The outcome of all segments, measured on the file, one segment at a time."""
        model = decode(data)
        reports = [compare(model.render_entry(at), self.segments.segment(at).frames, 0) for at in range(len(self.segments))]
        spec, seconds = model.clip_spec(0), time.monotonic() - self.started
        report, problem = combine_reports(reports, len(data), spec.pixels), replace(outcome.problem, video=spec)
        target = self.options.fit.target.resolved(spec)
        return replace(outcome, output=self.output, report=report, problem=problem, target=target, seconds=seconds, model=model)


def _combined(before: Encoded | None, after: Encoded) -> Encoded:
    """Two outcomes as one, with the later one's model and problem: no earlier model is kept alive."""
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

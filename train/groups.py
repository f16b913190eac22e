"""A long video as a chain of groups of frames, only one of them in memory: what `inr encode --chunk` does, as a function."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codec.bitstream import BitstreamError
from codec.bundle import Asked, empty, origin_of_video
from codec.decoder import decode
from codec.evaluation import compare, joined
from codec.model import QuantizedModel
from inr.errors import InputError, UsageError
from inr.reading import Source
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import check_free, write_atomically
from train.adding import on_ground
from train.config import FitConfig
from train.continual import Chain
from train.display import Display
from train.encoding import Counted, Encoded, EncodeOptions, carried_out, check_mask, counted_of, mask_key
from train.interrupts import Preempted
from train.landing import Target
from train.origin import origin_of, run_key
from train.pilot import Pilot
from train.presets import plan
from train.wish import Wish

GROUPS_FILE = "groups.inr"  # in a run's folder: the groups that are finished
FEWEST, MOST = 4, 64  # frames of a group whose length follows the motion
MOTION = 0.3  # of the samples' range, added up over a group from frame to frame: where the next one begins
CUT = 0.12  # between two frames: another scene
SPARED_SECONDS = 1.0  # of a group's share of a time budget, for what follows its fit
THINNED = 4  # every so many rows and columns tell


def encode_groups(
    source: str | Path,
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Encoded | None:
    """Fit `source` group by group and write `target`; None if `target` is this very run's finished file already.

    A group begins as the one before and is coded as its residual, but for every `options.key_every`-th. A cap is shared out by
    frames, and what a group leaves of it goes to the next. Raises as `encode_video`; told to leave, Preempted, with the
    groups so far in the run's folder.
    """
    started = time.monotonic() if options.started is None else options.started
    check_mask(options)
    frames = Frames(source, options)
    run = _Run(frames, target, options, display, say, started)
    if target.exists() and not options.overwrite:
        model = _decoded(target)
        if model is not None and len(model.videos) == len(frames.groups) and frames.begin(model):
            return None
        check_free(target, overwrite=run.so_far.exists())
    return run.encoded()


def boundaries(frames: Source, chunk: int) -> list[int]:
    """Where groups begin, and the end. With `chunk` 0 a group ends where much has moved or a scene does, after FEWEST to MOST frames.

    A short rest belongs to the group before it: alone it could not pay for what surrounds it.
    """
    if chunk:
        return _merged([*range(0, len(frames), chunk), len(frames)], chunk / 2)
    found, moved, before = [0], 0.0, None
    for index in range(len(frames)):
        picture = frames[index : index + 1].frames[0, ::THINNED, ::THINNED].astype(np.float32) / 255
        change = 0.0 if before is None else float(np.mean(np.abs(picture - before)))
        moved, length, before = moved + change, index - found[-1], picture
        if length >= FEWEST and (moved > MOTION or change > CUT or length >= MOST):
            found.append(index)
            moved = 0.0
    return _merged([*found, len(frames)], FEWEST)


def _merged(found: list[int], least: float) -> list[int]:
    """Boundaries without the last but one, if fewer than `least` frames are left behind it."""
    return [*found[:-2], found[-1]] if len(found) > 2 and found[-1] - found[-2] < least else found


def share_of(wish: Wish, video: VideoSpec, frames: int, left: int, already: int = 0) -> Wish:
    """What is asked of one group, `video`, of `frames` frames of which `left` are still to be fitted.

    Its share of what is left of a cap when `already` bytes are spent, or what is asked of all.
    """
    cap = wish.cap(replace(video, frames=frames))
    return wish if cap is None else Wish(target_bytes=int((cap - already) * video.frames / left))


class Frames:
    """A source in groups: each with what of it counts, and its key; read as they are asked for."""

    def __init__(self, source: str | Path, options: EncodeOptions):
        self.options = options
        self.source = Source(source, options.frames, options.scale)
        self.mask = None if options.mask is None else Source(options.mask)
        if self.mask is not None and len(self.mask) not in (1, len(self.source)):
            what = f"the mask has {len(self.mask)} frames, the video {len(self.source)}"
            raise InputError("mask-size", what, "one image, or as many as the video has frames")
        self.groups = list(pairwise(boundaries(self.source, options.chunk or 0)))

    def group(self, index: int) -> Video:
        """The frames of a group."""
        start, end = self.groups[index]
        return self.source[start:end]

    def counted(self, index: int, video: Video) -> Counted | None:
        """What of them counts; None where all does."""
        if self.mask is None:
            return None
        start, end = self.groups[index] if len(self.mask) > 1 else (0, 1)
        return counted_of(self.mask[start:end].frames, video)

    def key(self, index: int, video: Video, counted: Counted | None) -> str:
        """A hash of a group's pixels and of all that is asked."""
        o = self.options
        place = ("group", index, self.groups[index], o.key_every)
        return run_key(video, o.wish, o.preset, o.model, o.seed, o.time_budget, place, *mask_key(counted))

    def left(self, index: int) -> int:
        """Frames from a group on."""
        return len(self.source) - self.groups[index][0]

    def begin(self, model: QuantizedModel) -> bool:
        """Whether a file's groups are the first of these, made by this run."""
        for index in range(min(len(model.videos), len(self.groups))):
            video = self.group(index)
            if origin_of_video(model, index) != origin_of(self.key(index, video, self.counted(index, video))):
                return False
        return len(model.videos) <= len(self.groups)


def _decoded(path: Path) -> QuantizedModel | None:
    """The model in a file; None where there is none."""
    try:
        return decode(path.read_bytes())
    except (BitstreamError, OSError):
        return None


class _Run:
    """One run: its groups fitted in turn, each on the file of those before."""

    def __init__(
        self, frames: Frames, target: Path, options: EncodeOptions, display: Display | None, say: Callable[[str], None], started: float
    ):
        self.frames, self.target, self.options = frames, target, options
        self.display, self.say, self.started = display, say, started
        self.folder = options.folder(target)
        self.so_far = self.folder / GROUPS_FILE
        self.model: QuantizedModel | None = None  # what is in that file
        self.outcome: Encoded | None = None  # of all groups fitted here

    def encoded(self) -> Encoded | None:
        """All of them, from the first that is not finished; then the file gets its name. None where nothing was left to fit."""
        self.model = self._finished()
        for index in range(len(self.model.videos) if self.model else 0, len(self.frames.groups)):
            start, end = self.frames.groups[index]
            self.say(f"group {index + 1} of {len(self.frames.groups)}: frames {start} to {end}")
            try:
                self.outcome = _together(self.outcome, self._add(index))
            except Preempted as left:
                if left.by_hand and self.so_far.exists():
                    write_atomically(self.target, self.so_far.read_bytes())
                    self.say(f"'{self.target}' holds the first {start} of {len(self.frames.source)} frames")
                raise
        data = self.so_far.read_bytes()
        write_atomically(self.target, data)
        shutil.rmtree(self.folder, ignore_errors=True) if self.options.workdir is None else self.so_far.unlink()
        return self._whole(data, self.outcome) if self.outcome else None

    def _finished(self) -> QuantizedModel | None:
        """The groups that an earlier attempt at this run has left; UsageError where they are another run's."""
        model = _decoded(self.so_far) if self.options.resume else None
        if model is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.so_far.unlink(missing_ok=True)
        elif not self.frames.begin(model):
            what = f"'{self.folder}' holds an unfinished encode of another input or other options"
            raise UsageError("other-run", what, "--resume never   starts fresh there")
        return model

    def _add(self, index: int) -> Encoded:
        """Fit one group and append it."""
        began, video = time.monotonic(), self.frames.group(index)
        described, counted = VideoSpec.of(video), self.frames.counted(index, video)
        key = self.frames.key(index, video, counted)
        data = self.so_far.read_bytes() if self.model else empty(Asked())
        wish = share_of(self.options.wish, described, len(self.frames.source), self.frames.left(index), len(data) if self.model else 0)
        options = replace(self.options, wish=wish, workdir=self.folder / "group")
        if options.time_budget is not None:
            share = len(video) / self.frames.left(index)
            options = replace(options, time_budget=(options.time_budget - (began - self.started)) * share)
        chain, config = self._chain(data, video, described, options)
        run = on_ground(chain, config, described, self.so_far, options, key)
        step_seconds = self.outcome.step_seconds if self.outcome else None
        run = replace(run, counted=counted, spared=SPARED_SECONDS, step_seconds=step_seconds)
        done = carried_out(run, video, self.so_far, replace(options, workdir=None), self.display, self.say, began)
        # With what its file's end mark says: the next group stands on it as it is, and nothing is decoded again.
        self.model = replace(done.model, origin=chain.origins + origin_of(key))
        return done

    def _chain(self, data: bytes, video: Video, described: VideoSpec, options: EncodeOptions) -> tuple[Chain, FitConfig]:
        """What the next group stands on, and how it is fitted."""
        psnr, bpp = options.wish.target_psnr, options.wish.nominal_bpp(described)
        if self.model is None and psnr is not None:
            bpp = Pilot.of(video, options.model, options.seed, psnr).expected_bpp(psnr)
        spec, config = plan(described, bpp, options.preset, options.model, options.seed)
        model = self.model or QuantizedModel(spec, (), ())
        return Chain(data, model, continues=bool(model.videos), key_every=options.key_every), config

    def _whole(self, data: bytes, outcome: Encoded) -> Encoded:
        """The outcome of all groups: measured on the file, a group at a time."""
        model = decode(data)
        reports = [compare(model.render_entry(at), self.frames.group(at).frames, 0) for at in range(len(self.frames.groups))]
        spec, seconds = model.clip_spec(0), time.monotonic() - self.started
        report, problem = joined(reports, len(data), spec.pixels), replace(outcome.problem, video=spec)
        # A cap is on the file: what one group leaves of its share, the next ones may use.
        cap = self.options.wish.cap(spec)
        hit = outcome.target_hit if cap is None else Target(cap).met_by(len(data), lambda: report.psnr_rgb)
        return replace(outcome, output=self.target, report=report, problem=problem, seconds=seconds, model=model, target_hit=hit)


def _together(before: Encoded | None, after: Encoded) -> Encoded:
    """Two outcomes as one, the later one's model and problem with it: no earlier model is kept alive."""
    if before is None:
        return after
    steps = before.steps + after.steps
    return replace(
        after,
        estimated_bits=before.estimated_bits + after.estimated_bits,
        steps=steps,
        seconds_to_first_step=before.seconds_to_first_step,
        step_seconds=(before.steps * before.step_seconds + after.steps * after.step_seconds) / steps,
        target_hit=before.target_hit and after.target_hit,
    )

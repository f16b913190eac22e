"""A long video as a chain of groups of frames, only one of them in memory: what `inr encode --chunk` does, as a function."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codec.bundle import Asked, empty, origin_of_video
from codec.decoder import decode
from codec.evaluation import compare, joined
from codec.model import QuantizedModel
from inr.errors import UsageError
from inr.reading import Source
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import check_free, write_atomically
from train.adding import on_ground
from train.config import FitConfig
from train.continual import Chain
from train.display import Display
from train.encoding import Encoded, EncodeOptions, carried_out
from train.interrupts import Preempted
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
    if options.mask is not None:
        raise UsageError("mask-chunk", "--mask and --chunk cannot be combined yet", "--frames A:B   one group at a time")
    frames = Source(source, options.frames, options.scale)
    groups = list(pairwise(boundaries(frames, options.chunk or 0)))
    keys = _Keys(frames, groups, options)
    if target.exists() and not options.overwrite:
        if _begins_with(target, keys, len(groups)):
            return None
        check_free(target, overwrite=(folder_of(target, options) / GROUPS_FILE).exists())
    return _Groups(frames, groups, target, options, display, say, started).encoded(keys)


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


def folder_of(target: Path, options: EncodeOptions) -> Path:
    """Where a run keeps what it has so far."""
    return options.workdir or target.with_name(target.name + ".work")


class _Keys:
    """The groups' keys, each a hash of its pixels and of all that is asked; read as they are needed."""

    def __init__(self, frames: Source, groups: Sequence[tuple[int, int]], options: EncodeOptions):
        self.frames, self.groups, self.options = frames, groups, options

    def of(self, video: Video, index: int) -> str:
        o = self.options
        return run_key(video, o.wish, o.preset, o.model, o.seed, o.time_budget, ("group", index, self.groups[index], o.key_every))

    def __iter__(self) -> Iterator[str]:
        return (self.of(self.frames[start:end], index) for index, (start, end) in enumerate(self.groups))


def _begins_with(path: Path, keys: _Keys, count: int) -> bool:
    """Whether a file holds the first `count` groups of this run."""
    try:
        model = decode(path.read_bytes())
    except (ValueError, OSError):
        return False
    if len(model.videos) != count:
        return False
    return all(origin_of_video(model, at) == origin_of(key) for at, key in zip(range(count), keys, strict=False))


class _Groups:
    """The groups of one run, fitted in turn."""

    def __init__(
        self, frames: Source, groups: Sequence[tuple[int, int]], target: Path, options: EncodeOptions, display: Display | None,
        say: Callable[[str], None], started: float,
    ):  # fmt: skip
        self.frames, self.groups, self.target, self.options = frames, groups, target, options
        self.display, self.say, self.started = display, say, started
        self.folder = folder_of(target, options)
        self.so_far = self.folder / GROUPS_FILE
        self.outcome: Encoded | None = None  # of all groups fitted here so far; its model is the file's

    def encoded(self, keys: _Keys) -> Encoded | None:
        """All of them, from the first that is not finished; then the file gets its name. None where nothing was left to fit."""
        for index in range(self._finished(keys), len(self.groups)):
            start, end = self.groups[index]
            video = self.frames[start:end]
            self.say(f"group {index + 1} of {len(self.groups)}: frames {start} to {end}")
            try:
                self.outcome = _together(self.outcome, self._add(video, index, keys.of(video, index)))
            except Preempted as left:
                if left.by_hand and self.so_far.exists():
                    write_atomically(self.target, self.so_far.read_bytes())
                    self.say(f"'{self.target}' holds the first {start} of {len(self.frames)} frames")
                raise
        data = self.so_far.read_bytes()
        write_atomically(self.target, data)
        shutil.rmtree(self.folder, ignore_errors=True) if self.options.workdir is None else self.so_far.unlink()
        return self._whole(data, self.outcome) if self.outcome else None

    def _finished(self, keys: _Keys) -> int:
        """How many groups an earlier attempt at this run has left."""
        if not self.options.resume or not self.so_far.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.so_far.unlink(missing_ok=True)
            return 0
        count = len(decode(self.so_far.read_bytes()).videos)
        if not _begins_with(self.so_far, keys, count):
            what = f"'{self.folder}' holds an unfinished encode of another input or other options"
            raise UsageError("other-run", what, "--resume never   starts fresh there")
        return count

    def _add(self, video: Video, index: int, key: str) -> Encoded:
        """Fit one group and append it."""
        began, described = time.monotonic(), VideoSpec.of(video)
        data = self.so_far.read_bytes() if index else empty(Asked())
        options = replace(self.options, wish=self._wish(described, len(data) if index else 0, index), workdir=self.folder / "group")
        if options.time_budget is not None:
            left = sum(end - start for start, end in self.groups[index:])
            options = replace(options, time_budget=(options.time_budget - (began - self.started)) * len(video) / left)
        step_seconds = self.outcome.step_seconds if self.outcome else None
        chain, config = self._chain(data, video, described, options)
        run = on_ground(chain, config, described, self.so_far, options, key)
        run = replace(run, spared=SPARED_SECONDS, step_seconds=step_seconds)
        done = carried_out(run, video, self.so_far, replace(options, workdir=None), self.display, self.say, began)
        # With what its file's end mark says: the next group stands on it as it is, and nothing is decoded again.
        return replace(done, model=replace(done.model, origin=chain.origins + origin_of(key)))

    def _chain(self, data: bytes, video: Video, described: VideoSpec, options: EncodeOptions) -> tuple[Chain, FitConfig]:
        """What the next group stands on, and how it is fitted."""
        model = self.outcome.model if self.outcome else decode(data) if self.so_far.exists() else None
        bpp = options.wish.nominal_bpp(described)
        if model is None and options.wish.target_psnr is not None:
            bpp = Pilot.of(video, options.model, options.seed, options.wish.target_psnr).expected_bpp(options.wish.target_psnr)
        spec, config = plan(described, bpp, options.preset, options.model, options.seed)
        model = model or QuantizedModel(spec, (), ())
        return Chain(data, model, continues=bool(model.videos), key_every=options.key_every), config

    def _wish(self, video: VideoSpec, already: int, index: int) -> Wish:
        """What is asked of a group: its frames' share of what is left of a cap, or what is asked of all."""
        whole = replace(video, frames=len(self.frames))
        cap = self.options.wish.cap(whole)
        if cap is None:
            return self.options.wish
        left = sum(end - start for start, end in self.groups[index:])
        return Wish(target_bytes=int((cap - already) * video.frames / left))

    def _whole(self, data: bytes, outcome: Encoded) -> Encoded:
        """The outcome of all groups: measured on the file, a group at a time."""
        model = decode(data)
        reports = [compare(model.render_entry(at), self.frames[a:b].frames, 0) for at, (a, b) in enumerate(self.groups)]
        spec, seconds = model.clip_spec(0), time.monotonic() - self.started
        report, problem = joined(reports, len(data), spec.pixels), replace(outcome.problem, video=spec)
        return replace(outcome, output=self.target, report=report, problem=problem, seconds=seconds, model=model)


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

"""Encodes several pictures whose fits run side by side: see `train.fit.side_by_side`."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jax

from inr.errors import InrError
from inr.files import check_free, locked
from inr.reading import Extent, probe, read_video
from train.encode.outcome import Encoded
from train.encode.run import Run, is_up_to_date, spec_line
from train.fit.checkpoint import Workdir
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.loop import Fitted, run_loop
from train.fit.progress import Reporter
from train.fit.side_by_side import SideBySide, unstacked
from train.fit.state import TrainState
from train.plan.encode_plan import make_plan
from train.plan.options import EncodeOptions

ACCELERATOR_PIXELS = 2**22  # most pixels of pictures whose fits run side by side
CPU_PIXELS = 2**17  # the same on a CPU


class Work(NamedTuple):
    """One file to encode: the paths of its source and of the file, and the options."""

    source: Path
    output: Path
    options: EncodeOptions


Outcome = Encoded | InrError | None  # None: the file is up to date
Listener = Callable[[Work, Outcome], None]


def grouped(works: Sequence[Work], most: Callable[[Extent], int]) -> list[list[Work]]:
    """`works` in groups, in the order of their first members: the fits of a group can run side by side.

    The sources of a group have one extent, as their headers state it, and the same options; `most` gives the most members for an extent.
    A fit in segments, with a time budget or with a mask is a group of its own, and so is a source that cannot be read.
    """
    groups, growing = list[list[Work]](), dict[tuple[Extent, str], list[Work]]()
    for work in works:
        selection, fit = work.options.selection, work.options.fit
        extent = None
        if work.options.segmentation is None and selection.mask is None and fit.time_budget is None:
            with suppress(InrError):  # the encode of this source reports it
                extent = probe(work.source, selection.frames, selection.scale)
        if extent is None:
            groups.append([work])
            continue
        kind = extent, work.options.identity()
        if kind not in growing or len(growing[kind]) >= most(extent):
            growing[kind] = []
            groups.append(growing[kind])
        growing[kind].append(work)
    return groups


def most_pictures(extent: Extent) -> int:
    """The most pictures of this size whose fits should run side by side on this process's devices; 1 for videos."""
    return pictures_within(extent, CPU_PIXELS if jax.default_backend() == "cpu" else ACCELERATOR_PIXELS)


def pictures_within(extent: Extent, pixels: int) -> int:
    """The number of pictures of this size that have `pixels` pixels in all, at least 1; 1 for videos."""
    return max(1, pixels // (extent.width * extent.height)) if extent.frames == 1 else 1


def encode_side_by_side(works: Sequence[Work], reporter: Reporter, listener: Listener) -> None:
    """Encode sources of one size; `listener` gets each of `works` with its outcome as soon as it is known.

    An InrError of one file is its outcome, and the other files go on. A signal to leave, including Ctrl-C, saves the states of all
    unfinished fits and raises Preempted. A file differs in a few bits from that of an encode by itself, because sums over samples have
    another order. The same call after an interruption gives the files of an undisturbed call: all fits end before the first file is
    finished, and all continue from the same step.
    """
    ready = list[_Ready]()
    with ExitStack() as locks, Interrupts() as interrupts:
        for work in works:
            try:
                check_free(work.output, overwrite=True, sources=[work.source])
                locks.enter_context(locked(work.output, reporter.say))
                if (found := _Ready.of(work)) is None:
                    listener(work, None)
                else:
                    ready.append(found)
            except InrError as error:
                listener(work, error)
        for group in _kinds(ready):
            common = _common_step([one.run.plan.workdir for one in group])
            for same in _kinds([one.restored(common) for one in group]):
                _run_group(same, interrupts, reporter, listener)


@dataclass(frozen=True)
class _Ready:
    """A file whose run is ready, and the seconds that this took."""

    work: Work
    run: Run
    seconds: float

    @classmethod
    def of(cls, work: Work) -> "_Ready | None":
        """Read the source and prepare the run; None if the file is up to date."""
        began, (source, output, options) = time.monotonic(), work
        picture = read_video(source, options.selection.frames, options.selection.scale)
        plan = make_plan(picture, output, options)
        if is_up_to_date(plan, output, options.run.overwrite):
            return None
        return cls(work, Run.ready(plan, picture, output, began), time.monotonic() - began)

    def restored(self, step: int) -> "_Ready":
        """The run with its fit continued from the checkpoint after `step` steps, if it has one."""
        fitter, workdir = self.run.fitter, self.run.plan.workdir
        if step and (state := workdir.restore(fitter.snapshot(), step)) is not None:
            fitter.resume(state)
        return self

    def kind(self) -> tuple[str, int, int]:
        """The facts that fits side by side have in common."""
        fitter = self.run.fitter
        return repr(fitter.problem.compiled), fitter.steps, fitter.done


def _kinds(ready: Sequence[_Ready]) -> list[list[_Ready]]:
    """Runs in groups whose fits can run side by side."""
    return [list(group) for _, group in groupby(sorted(ready, key=_Ready.kind), key=_Ready.kind)]


def _common_step(workdirs: Sequence[Workdir]) -> int:
    """The newest number of steps after which all runs have a checkpoint; 0 if there is none.

    A process that was killed while it saved its states left the newest one of some runs only.
    """
    return max(set.intersection(*(set(workdir.saved_steps()) for workdir in workdirs)), default=0)


class _Stores:
    """The folders of several runs as one store, for fits that were restored before."""

    def __init__(self, workdirs: Sequence[Workdir]):
        self.workdirs = workdirs

    def restore(self, like: TrainState) -> None:
        return None

    def save(self, state: TrainState) -> bool:
        states = unstacked(state, len(self.workdirs))
        return all([workdir.save(own) for workdir, own in zip(self.workdirs, states, strict=True)])


def _run_group(group: Sequence[_Ready], interrupts: Interrupts, reporter: Reporter, listener: Listener) -> None:
    """Run the fits of `group` side by side, and then finish one file after the other."""
    runs = [ready.run for ready in group]
    fits = SideBySide([run.fitter for run in runs])
    reporter.say(f"{len(runs)} fits side by side, each {spec_line(runs[0].plan.problem)}")

    def asked() -> StopRequest:
        return interrupts.request_by(math.inf, whole=True)

    with reporter.display as shown:
        stores = _Stores([run.plan.workdir for run in runs])
        outcome = run_loop(fits, stores, shown, asked)
        stores.save(fits.snapshot())
        fits.hand_back()
    share, step_seconds = outcome.seconds / len(runs), outcome.step_seconds / len(runs)
    for at, ready in enumerate(group):
        if asked() is StopRequest.LEAVE:
            raise Preempted(all([run.plan.workdir.save(run.fitter.snapshot()) for run in runs[at:]]))
        fitter = ready.run.fitter
        model = fitter.model()
        fitted = Fitted(model, fitter.estimated_bits(model), fitter.done, step_seconds, False, fitter.state)
        run = replace(ready.run, started=time.monotonic() - ready.seconds - share)
        try:
            listener(ready.work, run.finished(fitted, math.inf, reporter.about(run.video.name).say))
        except InrError as error:
            listener(ready.work, error)

"""Encodes several pictures whose fits run side by side: see `train.fit.side_by_side`."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jax

from inr.errors import InrError
from inr.files import check_free, locked
from inr.images import image_files
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


def grouped(works: Sequence[Work]) -> list[list[Work]]:
    """`works` in groups, in the order of their first members: the fits of a group should run side by side.

    These are pictures of one size, as the headers of the sources state it. A source that cannot be read is a group of its own.
    """
    groups, growing = list[list[Work]](), dict[Extent, list[Work]]()
    for work in works:
        selection = work.options.selection
        try:
            images = image_files(work.source)
            extent = probe(work.source, selection.frames, selection.scale)
        except InrError:  # the encode of this source reports it
            images, extent = [], None
        if not images or extent is None:  # the header of a video need not state its number of frames
            groups.append([work])
            continue
        if extent not in growing or len(growing[extent]) >= most_side_by_side(extent, work.options):
            growing[extent] = []
            groups.append(growing[extent])
        growing[extent].append(work)
    return groups


def most_side_by_side(extent: Extent, options: EncodeOptions) -> int:
    """The most fits of sources of this extent that should run side by side; 1 if they must run one after the other.

    Fits of videos, in segments, with a time budget or with a mask run one after the other.
    """
    selection, in_segments = options.selection, options.segmentation is not None
    if extent.frames != 1 or in_segments or selection.mask is not None or options.fit.time_budget is not None:
        return 1
    most = CPU_PIXELS if jax.default_backend() == "cpu" else ACCELERATOR_PIXELS
    return max(1, most // (extent.width * extent.height))


def encode_side_by_side(works: Sequence[Work], reporter: Reporter, listener: Listener) -> None:
    """Encode pictures of one size; `listener` gets each of `works` with its outcome as soon as it is known.

    An InrError of one file is its outcome, and the other files go on. A signal to leave, including Ctrl-C, saves the states of all
    unfinished fits and raises Preempted. A file differs in a few bits from that of an encode by itself, because sums over samples have
    another order.
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
        for _, group in groupby(sorted(ready, key=_Ready.kind), key=_Ready.kind):
            _run_group(list(group), interrupts, reporter, listener)


@dataclass(frozen=True)
class _Ready:
    """A file whose run is ready, and the seconds that this took."""

    work: Work
    run: Run
    seconds: float

    @classmethod
    def of(cls, work: Work) -> "_Ready | None":
        """Read the source, prepare the run and continue it from its newest checkpoint; None if the file is up to date."""
        began, (source, output, options) = time.monotonic(), work
        picture = read_video(source, options.selection.frames, options.selection.scale)
        plan = make_plan(picture, output, options)
        if is_up_to_date(plan, output, options.run.overwrite):
            return None
        run = Run.ready(plan, picture, output, began)
        if (state := run.plan.workdir.restore(run.fitter.snapshot())) is not None:
            run.fitter.resume(state)
        return cls(work, run, time.monotonic() - began)

    def kind(self) -> tuple[str, int, int]:
        """The facts that fits side by side have in common."""
        fitter = self.run.fitter
        return repr(fitter.problem.compiled), fitter.steps, fitter.done


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
    reporter.say(f"{len(runs)} pictures side by side, each {spec_line(runs[0].plan.problem)}")

    def asked() -> StopRequest:
        return interrupts.request_by(math.inf, whole=True)

    with reporter.display as shown:
        outcome = run_loop(fits, _Stores([run.plan.workdir for run in runs]), shown, asked)
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

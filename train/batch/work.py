"""The work of a worker: encodes the items of a task, and leaves a record of each in its folder."""

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from codec.clip import decoded_frames
from codec.evaluation import compare
from codec.shell import spoken_warnings
from codec.streams import streams_bytes
from inr.errors import InrError, ResourceError
from inr.files import system_error
from inr.memory import resident_bytes
from inr.reading import read_video
from inr.spec import VideoSpec
from train.batch.folder import BatchFolder, ItemFolder, Record
from train.batch.item import Item
from train.encode.files import encode_file
from train.encode.outcome import Encoded
from train.encode.side_by_side import Outcome, Work, encode_side_by_side
from train.fit.interrupts import Preempted
from train.fit.progress import Progress, Quiet, Reporter

LARGE_PROCESS = 1_000_000_000  # bytes of a worker's memory from which it frees compiled programs after each task

Tell = Callable[[str, float], None]  # gets the key of an item, and the share of its work that is done; 1 if it has a record


class Shares(Quiet):
    """A display that tells the share of the steps that are done."""

    def __init__(self, tell: Callable[[float], None]):
        self._tell = tell

    def __call__(self, progress: Progress) -> None:
        self._tell(min(progress.step / progress.steps, 1.0) * 0.99)  # the record is still to come


def run_task(items: Sequence[Item], root: Path, tell: Tell) -> None:
    """Encode the items of a task, of the batch whose folder is `root`; items that have a record are left out.

    Every error of an item becomes its record. Preempted if a signal asks to leave; the states of unfinished fits are saved then.
    """
    homes = [BatchFolder(root).of(item) for item in items]
    missing = [home for home in homes if home.result() is None and home.failure() is None]
    for home in missing:
        home.path.mkdir(parents=True, exist_ok=True)
    if len(items) > 1:  # also if a single one is missing: it must get the bits of a fit beside the others
        encode_packed(missing, tell)
    else:
        for home in missing:
            encode_item(home, lambda share, key=home.item.key: tell(key, share))
    for item in items:
        tell(item.key, 1.0)
    forget_programs()


def forget_programs() -> None:
    """Free the compiled programs of the tasks so far once they have made this process large; the cache on disk keeps them.

    A source of another size compiles other programs, about 50 MB of them, so the memory of a long batch would grow without end.
    """
    if (resident_bytes() or 0) > LARGE_PROCESS:
        jax.clear_caches()
        gc.collect()


def encode_item(home: ItemFolder, tell: Callable[[float], None]) -> None:
    """Encode an item and record the outcome. Preempted if a signal asks to leave."""
    with recorded_errors(home), spoken_warnings(home.say) as warned:
        options = home.item.encode_options.with_run(whole=True)
        encoded = encode_file(home.item.source, home.file, options, Reporter(Shares(tell), home.say))
        record(home, encoded, warned)


def encode_packed(homes: Sequence[ItemFolder], tell: Tell) -> None:
    """Encode items whose fits run side by side, and record the outcomes. Preempted if a signal asks to leave."""
    home_of = {home.file: home for home in homes}

    def say(line: str) -> None:
        for home in homes:
            home.say(line)

    def tell_all(share: float) -> None:
        for home in homes:
            tell(home.item.key, share)

    def listener(work: Work, outcome: Outcome) -> None:
        home = home_of[work.output]
        with recorded_errors(home):
            if isinstance(outcome, InrError):
                raise outcome
            record(home, outcome)
        tell(home.item.key, 1.0)

    works = [Work(Path(home.item.source), home.file, home.item.encode_options.with_run(whole=True)) for home in homes]
    try:
        with spoken_warnings(say):
            encode_side_by_side(works, Reporter(Shares(tell_all), say), listener)
    except Preempted:
        raise
    except Exception as error:  # of the fits that ran side by side: none of them has an outcome of its own
        for home in homes:
            if home.result() is None and home.failure() is None:
                fail(home, error)


def record(home: ItemFolder, encoded: Encoded | None, warned: Iterable[str] = ()) -> None:
    """Record a finished item and the warnings about it; None if a process was killed between the end of its file and its record."""
    fields: dict[str, Any] = {**(measured(home) if encoded is None else encoded.fields())}
    home.finish(fields | {"output": f"items/{home.path.name}/{home.file.name}", "warnings": list(warned)})
    home.say(f"finished: {fields['bytes']} bytes, {fields['bpp']:.4f} bpp, {fields['psnr_rgb']:.2f} dB")


def measured(home: ItemFolder) -> Record:
    """The fields of a finished file that can be measured without its fit."""
    options = home.item.encode_options
    source = read_video(home.item.source, options.selection.frames, options.selection.scale)
    frames, size = decoded_frames(home.file, "")
    report, spec = compare(frames, source.frames, size).with_streams(streams_bytes(home.file.read_bytes())), VideoSpec.of(source)
    target = options.fit.target.resolved(spec)
    return {
        **report.fields(),
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": float(spec.fps),
        "target_hit": target.met_by(report.bytes, lambda: report.psnr_rgb),
        "cap_used": None if target.target_bytes is None else report.bytes / target.target_bytes,
    }


@contextmanager
def recorded_errors(home: ItemFolder) -> Iterator[None]:
    """A context in which every error becomes the record of the item, except Preempted."""
    try:
        yield
    except Preempted as left:
        home.say("the state is saved" if left.saved else "the state could not be saved")
        raise
    except Exception as error:
        fail(home, error)


def fail(home: ItemFolder, error: Exception) -> None:
    """Record that an item failed, with the trace of an error that is not one for users in its log."""
    found = as_error(error)
    if found.identifier == "bug":
        home.say("".join(traceback.format_exception(error)))
    home.say(f"failed: {found.what}   [{found.identifier}]")
    home.fail(found)


def as_error(error: Exception) -> InrError:
    """An error of any kind as one for users."""
    if isinstance(error, InrError):
        return error
    if isinstance(error, OSError):
        return system_error(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return ResourceError(
            "memory", f"the fit needs more memory than there is: {str(error).splitlines()[0]}", "--workers 1, or --scale 1/2"
        )
    return InrError("bug", f"{type(error).__name__}: {error}", "report this bug with the text in the item's log.txt")

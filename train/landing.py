"""From a fitted state to a file that is what was asked for, written, decoded again and verified before it gets its name."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.errors import TargetMissed, VerifyError
from inr.video import Video
from inr.writing import temporary_name, write_atomically
from train.fitting import Fitted, Fitter, copied, land
from train.refining import Bounds, Refiner, Room, cost_in_steps, filled, refined, worthwhile

ATTEMPTS, REFINEMENTS = 8, 3
MORE_STEPS, FEWEST_STEPS = 0.01, 50  # of the fit's, each attempt
LEAST_USED, AIM = 0.97, 0.988  # of a cap
ABOVE, MOST_ABOVE = 0.1, 0.3  # decibels over a quality: where to aim, what to accept
RICH = 50.0  # decibels from which a cap need not be used up
SLOPE = 2.0  # decibels per octave of rate, on ordinary content
MAX_WIDER = 64  # eighths of an octave
FINISH_LEFT = 0.5  # of the time an attempt took, spare
CODER_BITS = (128, 64, 32, 0)  # what streams may take beside their symbols' information: spared in turn, until enough of a cap is used
JUST_ABOVE = 0.02  # decibels over a quality that refining leaves


@dataclass(frozen=True)
class Target:
    """What a file must reach: at most `cap` bytes, nearly all of them used, or `psnr` decibels and little more; or neither."""

    cap: int | None = None
    psnr: float | None = None

    def met_by(self, size: int, psnr: Callable[[], float]) -> bool:
        """Whether a file of `size` bytes, and of a quality that is only measured where it matters, is what was asked for."""
        if self.cap is not None:
            return size <= self.cap and (size >= LEAST_USED * self.cap or psnr() >= RICH)
        return self.psnr is None or 0 <= psnr() - self.psnr <= MOST_ABOVE


@dataclass(frozen=True)
class Landed:
    """A file, its model, the estimate of its bits, its PSNR where that was measured, and whether it meets its target.

    `size` is what the video takes of the file, in bytes: all of it, or what it adds to a bundle.
    """

    data: bytes
    size: int
    model: QuantizedModel
    estimated_bits: float
    psnr: float | None
    hit: bool


class Landing:
    """The last stretch of a fit: more steps, steered by what the whole file measures."""

    def __init__(self, fitter: Fitter, video: Video, target: Target, origin: bytes, deadline: float = math.inf):
        self.fitter, self.video, self.target, self.origin, self.deadline = fitter, video, target, origin, deadline

    @property
    def more_steps(self) -> int:
        """Steps of an attempt."""
        return max(FEWEST_STEPS, int(MORE_STEPS * self.fitter.problem.config.steps))

    def measured(self, model: QuantizedModel, estimated_bits: float) -> Landed:
        """The file of `model`, measured as far as the target asks."""
        data, known = self.fitter.encoded(model, self.origin), []

        def psnr() -> float:
            known.append(mean_psnr(model.render_entry(-1), self.video.frames))
            return known[0]

        size = len(data) - self.fitter.already
        hit = self.target.met_by(size, psnr)
        return Landed(data, size, model, estimated_bits, known[0] if known else None, hit)

    def size(self, model: QuantizedModel) -> int:
        """Bytes that the video takes of the file of `model`."""
        return len(self.fitter.encoded(model, self.origin)) - self.fitter.already

    def refined(self, found: Landed) -> Landed:
        """`found` with single symbols moved, if that makes it better and keeps it within its target."""
        if self.target.cap is not None:
            return self.refined_under_cap(found, self.target.cap)
        if self.target.psnr is not None:
            return self.refined_to_quality(found, self.target.psnr)
        return self.measured_symbols(refined(self.fitter, found.model, Bounds(until=self.deadline)))

    def refined_to_quality(self, found: Landed, psnr: float) -> Landed:
        """`found` with single symbols moved until it is no better than `psnr` asks for, or as it was where that does not succeed."""
        # The float picture's error and the 8-bit picture's differ a little; their ratio over a refinement hardly does.
        mse, spare = Refiner(self.fitter, found.model).start().mse, (found.psnr or 0.0) - psnr - JUST_ABOVE
        again = found
        for _ in range(REFINEMENTS):
            bounds = Bounds(most_mse=mse * 10 ** (spare / 10), until=self.deadline)
            again = self.measured_symbols(refined(self.fitter, found.model, bounds))
            if again.hit or time.monotonic() > self.deadline:
                break
            spare -= psnr - (again.psnr or 0.0) + JUST_ABOVE
        return again if again.hit else self.better(found, again)

    def refined_under_cap(self, found: Landed, cap: int) -> Landed:
        """`found` with single symbols moved, the more of them the more of `cap` is left; never over it.

        Bits are foreseen without the table that a blank tensor's first symbol brings along, and streams are whole words: where
        they lead to no hit, the sizes of real files do.
        """
        now = Refiner(self.fitter, found.model).start().bits
        best = found
        for spared in CODER_BITS:
            most = now + 8 * (cap - found.size) - spared
            if most <= 0:
                continue
            least = now + 8 * (LEAST_USED * cap - found.size)
            again = self.measured_symbols(refined(self.fitter, found.model, Bounds(most_bits=most, least_bits=least, until=self.deadline)))
            best = self.better(best, again)
            if again.hit or time.monotonic() > self.deadline:
                return again if again.hit else best
        if best.hit or best.size > cap:
            return best
        full = filled(self.fitter, best.model, Room(self.size, LEAST_USED * cap, cap, self.deadline))
        return self.better(best, self.measured_symbols(full))

    def measured_symbols(self, model: QuantizedModel) -> Landed:
        """The file of a model whose symbols were moved after the fit."""
        return self.measured(model, self.fitter.symbol_bits(model) + self.fitter.problem.overhead_bits)

    def better(self, a: Landed, b: Landed) -> Landed:
        """The one nearer to the target: within it, then the larger file under a cap, or the smaller of good quality."""
        if a.hit != b.hit:
            return a if a.hit else b
        if self.target.psnr is not None and a.psnr is not None and b.psnr is not None:
            if min(a.psnr, b.psnr) >= self.target.psnr:
                return min(a, b, key=lambda landed: landed.size)
            return max(a, b, key=lambda landed: landed.psnr or 0.0)
        if self.target.cap is None:
            return a
        fitting = [landed for landed in (a, b) if landed.size <= (self.target.cap or 0)]
        return max(fitting or (a, b), key=lambda landed: landed.size if fitting else -landed.size)

    def attempt(self, last: Landed, aim: float) -> tuple[Landed, float]:
        """More steps after `last`, aimed at `aim` (bytes or decibels) corrected by what it missed; and that aim."""
        fitter, target, count = self.fitter, self.target, self.more_steps
        before = copied(fitter.state)
        if target.cap is not None:
            missed = AIM * target.cap / last.size
            aim *= min(max(missed, 0.7), 1.4)
            bits = land(fitter, self.finer(missed, count), bits=fitter.problem.tensor_bits(8 * aim))
        else:
            missing = (target.psnr or 0.0) + ABOVE - (last.psnr or 0.0)
            aim += min(max(missing, -0.3), 0.3)
            bits = land(fitter, self.finer(2 ** (missing / SLOPE), count), mse=10 ** (-aim / 10))
        if not np.isfinite(np.asarray(fitter.state.parameters.weights)).all():
            fitter.state = before  # driven too hard: what the last attempt left stands
            return last, aim
        return self.measured(fitter.model(), bits), aim

    def finer(self, ratio: float, count: int) -> int:
        """Make steps as much finer as a file `ratio` times the size needs, above 1; returns the steps to settle in.

        A rate that is too high comes down by its weight alone; but weights that were rounded away only come back
        by finer steps.
        """
        if ratio <= 1.01:
            return count
        bits_per_weight = 8 * self.size(self.fitter.model()) / float(self.fitter.problem.layout.sizes.sum())
        self.fitter.widen(-8 * min((ratio - 1) * bits_per_weight, 2.0))
        return 2 * count

    def by_single_tensors(self, cap: int) -> Landed | None:
        """The largest file under `cap` that wider or finer steps give, one tensor at a time; None if there is none."""
        names = self.fitter.problem.layout.names
        wider = dict.fromkeys(names, 0)
        size = self.size(self.fitter.model(wider))
        while size > cap and wider[names[0]] < MAX_WIDER:
            wider = {name: by + 1 for name, by in wider.items()}
            size = self.size(self.fitter.model(wider))
        for name in names * MAX_WIDER:
            if size >= LEAST_USED * cap or time.monotonic() > self.deadline:
                break
            trial = wider | {name: wider[name] - 1}
            if size < (found := self.size(self.fitter.model(trial))) <= cap:
                size, wider = found, trial
        return self.measured_symbols(self.fitter.model(wider)) if size <= cap else None


def landed(
    fitter: Fitter,
    fitted: Fitted,
    video: Video,
    target: Target,
    origin: bytes,
    deadline: float = math.inf,
    say: Callable[[str], None] = lambda line: None,
) -> Landed:
    """The file that comes nearest to `target`, and carries `origin`.

    A file over its cap is never given out: TargetMissed if none fits. A quality out of reach gives the best file with
    `hit` False. Attempts end where another would run past `deadline` (of time.monotonic()).
    """
    landing = Landing(fitter, video, target, origin, deadline)
    last = best = landing.measured(fitted.model, fitted.estimated_bits)
    aim = float(target.cap or 0) * AIM if target.cap is not None else (target.psnr or 0.0) + ABOVE
    expected = 2 * landing.more_steps * fitted.step_seconds
    for _ in range(ATTEMPTS):
        if best.hit or time.monotonic() + expected > deadline:
            break
        began = time.monotonic()
        last, aim = landing.attempt(last, aim)
        say(f"landing: {last.size} bytes" + ("" if last.psnr is None else f", {last.psnr:.2f} dB"))
        best = landing.better(best, last)
        expected = (1 + FINISH_LEFT) * (time.monotonic() - began)
    if target.cap is not None and not best.hit and (found := landing.by_single_tensors(target.cap)) is not None:
        best = landing.better(best, found)
    # Half of the time it wants is enough to begin: it ends at the deadline, with what it has found.
    refining = cost_in_steps(fitter.problem) * fitted.step_seconds / 2
    enough = target.psnr is None or (best.psnr or 0.0) >= target.psnr
    if enough and (worthwhile(fitter.problem) or not best.hit) and time.monotonic() + refining <= deadline:
        best = landing.refined(best)
        say(f"refined: {best.size} bytes" + ("" if best.psnr is None else f", {best.psnr:.2f} dB"))
    if target.cap is not None and best.size > target.cap:
        raise TargetMissed(
            "size-unreachable",
            f"the smallest file this network gives is {best.size} bytes, the cap is {target.cap}",
            "a larger target, or --scale 1/2",
        )
    return best


def write_verified(data: bytes, model: QuantizedModel, target: Path) -> np.ndarray:
    """Write `data`, read it back, check every symbol, render the last video's frames, then rename; returns the frames.

    VerifyError, and no file at `target`, if what was read is not what was meant.
    """
    trial = temporary_name(target).with_suffix(".verify")
    try:
        write_atomically(trial, data)
        try:
            again = decode(trial.read_bytes())
        except BitstreamError as error:
            raise VerifyError("verify", f"the file just written does not decode: {error}", "try again; report it if it repeats") from error
        check_same(again, model)
        frames = again.render_entry(-1)
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
    return frames


def check_same(decoded: QuantizedModel, meant: QuantizedModel) -> None:
    """VerifyError unless every symbol and dequantised value is the same."""
    for index in range(len(meant.videos)):
        ours, theirs = meant.tensors(index), decoded.tensors(index)
        if ours.keys() != theirs.keys() or any(not np.array_equal(ours[name], theirs[name]) for name in ours):
            raise VerifyError("verify", "the decoded file differs from the encoder's model", "try again; report it if it repeats")

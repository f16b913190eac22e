"""Rate control after a fit: extra steps and moved symbols, until the real file is what the target asks for."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.errors import TargetMissed
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.loop import Fitted
from train.fit.rdoq import Bounds, ByteBudget, cost_in_steps, fill_file, optimise_symbols, worthwhile
from train.fit.rdoq_evaluator import SymbolEvaluator
from train.fit.target import LEAST_USED, RateTarget

ATTEMPTS, REFINEMENTS = 8, 3  # at most: of extra steps, and of RDOQ towards a quality
EXTRA_SHARE, FEWEST_STEPS = 0.01, 50  # of the fit's steps for each attempt, and at least
CAP_AIM, PSNR_AIM = 0.988, 0.1  # share of a cap, and decibels above a quality, that attempts aim at
DB_PER_OCTAVE = 2.0  # decibels for each doubling of the rate, on ordinary content
MAX_WIDER = 64  # eighths of an octave
MARGIN_SHARE = 0.5  # of the time that an attempt took, as a margin for the next
CODER_BITS = (128, 64, 32, 0)  # bits that streams may take beside their symbols' information; spared in turn until enough of a cap is used
JUST_ABOVE = 0.02  # decibels above a quality that RDOQ leaves
SPEND_SECONDS = 1.5  # after the deadline, for spending the rest of a cap on finer step sizes: encoding is quick, and nothing is rendered


@dataclass(frozen=True)
class Candidate:
    """A file, its model, the estimate of its bits, its PSNR if it was measured, and whether rate control may stop at it.

    `size` is the video's share of the file in bytes: all of it, or what it adds to a bundle.
    """

    data: bytes
    size: int
    model: QuantizedModel
    estimated_bits: float
    psnr: float | None
    hit: bool


@dataclass(frozen=True)
class Landing:
    """The fixed facts of a rate control: the source, a resolved target, the fingerprint, and the deadline (monotonic clock)."""

    video: Video
    target: RateTarget
    fingerprint: bytes
    deadline: float = math.inf

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline


class RateControl:
    """The extra steps and moved symbols after a fit, steered by the measured size and quality of the whole file."""

    def __init__(self, fitter: Fitter, landing: Landing):
        self.fitter, self.landing, self.target = fitter, landing, landing.target

    @property
    def extra_steps(self) -> int:
        """Steps of an attempt."""
        return max(FEWEST_STEPS, int(EXTRA_SHARE * self.fitter.steps))

    def measured(self, model: QuantizedModel, estimated_bits: float) -> Candidate:
        """The file of `model`, measured as far as the target needs it."""
        data, known = self.fitter.encoded(model, self.landing.fingerprint), []

        def psnr() -> float:
            known.append(mean_psnr(model.render_entry(-1), self.landing.video.frames))
            return known[0]

        size = len(data) - self.fitter.base_bytes
        hit = self.target.hit_by(size, psnr)
        return Candidate(data, size, model, estimated_bits, known[0] if known else None, hit)

    def size(self, model: QuantizedModel) -> int:
        """Bytes that the video takes in the file of `model`."""
        return len(self.fitter.encoded(model, self.landing.fingerprint)) - self.fitter.base_bytes

    def measured_symbols(self, model: QuantizedModel) -> Candidate:
        """The file of a model whose symbols were moved after the fit."""
        return self.measured(model, self.fitter.symbol_bits(model) + self.fitter.problem.overhead_bits)

    def better(self, a: Candidate, b: Candidate) -> Candidate:
        """The candidate nearer to the target: a hit; then the largest file under a cap, or the smallest of enough quality."""
        if a.hit != b.hit:
            return a if a.hit else b
        if self.target.target_psnr is not None and a.psnr is not None and b.psnr is not None:
            if min(a.psnr, b.psnr) >= self.target.target_psnr:
                return min(a, b, key=lambda candidate: candidate.size)
            return max(a, b, key=lambda candidate: candidate.psnr or 0.0)
        if self.target.target_bytes is None:
            return a
        fitting = [candidate for candidate in (a, b) if candidate.size <= (self.target.target_bytes or 0)]
        return max(fitting or (a, b), key=lambda candidate: candidate.size if fitting else -candidate.size)

    # Extra steps

    def attempt(self, last: Candidate, aim: float) -> tuple[Candidate, float]:
        """Extra steps after `last`, aimed at `aim` (bytes or decibels) corrected by the last miss; and the corrected aim."""
        fitter, target, count = self.fitter, self.target, self.extra_steps
        before = jax.tree.map(jnp.copy, fitter.state)  # a step gives up the arrays of the state before it
        if target.target_bytes is not None:
            missed = CAP_AIM * target.target_bytes / last.size
            aim *= min(max(missed, 0.7), 1.4)
            bits = fitter.run_extra_steps(self.with_finer_steps(missed, count), bits=fitter.problem.tensor_bits(8 * aim))
        else:
            missing = (target.target_psnr or 0.0) + PSNR_AIM - (last.psnr or 0.0)
            aim += min(max(missing, -0.3), 0.3)
            bits = fitter.run_extra_steps(self.with_finer_steps(2 ** (missing / DB_PER_OCTAVE), count), mse=10 ** (-aim / 10))
        if not np.isfinite(np.asarray(fitter.state.parameters.weights)).all():
            fitter.state = before  # the attempt went too far: the state before it stands
            return last, aim
        return self.measured(fitter.model(), bits), aim

    def with_finer_steps(self, ratio: float, count: int) -> int:
        """Make step sizes as much finer as a file `ratio` times as large needs, if that is above 1; returns the steps to settle in.

        The rate's weight alone brings a high rate down. Weights that were rounded to zero come back only with finer step sizes.
        """
        if ratio <= 1.01:
            return count
        bits_per_weight = 8 * self.size(self.fitter.model()) / float(self.fitter.problem.layout.sizes.sum())
        self.fitter.widen(-8 * min((ratio - 1) * bits_per_weight, 2.0))
        return 2 * count

    def by_single_tensors(self, cap: int) -> Candidate | None:
        """The largest file of at most `cap` bytes that coarser or finer step sizes give, tensor by tensor; None if there is none.

        It needs no rendering, so it may go on for SPEND_SECONDS after the deadline.
        """
        names, until = self.fitter.problem.layout.names, self.landing.deadline + SPEND_SECONDS
        wider = dict.fromkeys(names, 0)
        size = self.size(self.fitter.model(wider))
        while size > cap and wider[names[0]] < MAX_WIDER:
            wider = {name: by + 1 for name, by in wider.items()}
            size = self.size(self.fitter.model(wider))
        for name in names * MAX_WIDER:
            if size >= LEAST_USED * cap or time.monotonic() > until:
                break
            trial = wider | {name: wider[name] - 1}
            if size < (found := self.size(self.fitter.model(trial))) <= cap:
                size, wider = found, trial
        return self.measured_symbols(self.fitter.model(wider)) if size <= cap else None

    # Moved symbols

    def refined(self, found: Candidate) -> Candidate:
        """`found` after RDOQ, if that makes it better and keeps it within its target."""
        if self.target.target_bytes is not None:
            return self.refined_under_cap(found, self.target.target_bytes)
        if self.target.target_psnr is not None:
            return self.refined_to_quality(found, self.target.target_psnr)
        return self.measured_symbols(optimise_symbols(self.fitter, found.model, Bounds(until=self.landing.deadline)))

    def refined_to_quality(self, found: Candidate, psnr: float) -> Candidate:
        """`found` after RDOQ down to `psnr` decibels, or as it was if that does not succeed."""
        # The MSE of float and 8-bit pictures differs a little; the ratio of both hardly changes during RDOQ.
        mse, spare = SymbolEvaluator(self.fitter, found.model).start().mse, (found.psnr or 0.0) - psnr - JUST_ABOVE
        again = found
        for _ in range(REFINEMENTS):
            bounds = Bounds(most_mse=mse * 10 ** (spare / 10), until=self.landing.deadline)
            again = self.measured_symbols(optimise_symbols(self.fitter, found.model, bounds))
            if again.hit or self.landing.over:
                break
            spare -= psnr - (again.psnr or 0.0) + JUST_ABOVE
        return again if again.hit else self.better(found, again)

    def refined_under_cap(self, found: Candidate, cap: int) -> Candidate:
        """`found` after RDOQ; the more of `cap` is left, the more bits it may take, but never above the cap.

        The foreseen bits leave out the table that comes with a blank tensor's first symbol, and streams are whole 32-bit words. Where
        they lead to no hit, the sizes of real files are used.
        """
        now = SymbolEvaluator(self.fitter, found.model).start().bits
        best = found
        for spared in CODER_BITS:
            most = now + 8 * (cap - found.size) - spared
            if most <= 0:
                continue
            bounds = Bounds(most_bits=most, least_bits=now + 8 * (LEAST_USED * cap - found.size), until=self.landing.deadline)
            again = self.measured_symbols(optimise_symbols(self.fitter, found.model, bounds))
            best = self.better(best, again)
            if again.hit or self.landing.over:
                return again if again.hit else best
        if best.hit or best.size > cap:
            return best
        full = fill_file(self.fitter, best.model, ByteBudget(self.size, LEAST_USED * cap, cap, self.landing.deadline))
        return self.better(best, self.measured_symbols(full))


def control_rate(fitter: Fitter, fitted: Fitted, landing: Landing, say: Callable[[str], None] = lambda line: None) -> Candidate:
    """The file that comes nearest to the target.

    A file over its cap is never returned: TargetMissed if none fits. A quality out of reach gives the best file, with `hit` False.
    No attempt starts that would end after the deadline.
    """
    control, target, deadline = RateControl(fitter, landing), landing.target, landing.deadline
    last = best = control.measured(fitted.model, fitted.estimated_bits)
    aim = float(target.target_bytes or 0) * CAP_AIM if target.target_bytes is not None else (target.target_psnr or 0.0) + PSNR_AIM
    expected = 2 * control.extra_steps * fitted.step_seconds
    for _ in range(ATTEMPTS):
        if best.hit or time.monotonic() + expected > deadline:
            break
        began = time.monotonic()
        last, aim = control.attempt(last, aim)
        say(f"rate control: {last.size} bytes" + ("" if last.psnr is None else f", {last.psnr:.2f} dB"))
        best = control.better(best, last)
        expected = (1 + MARGIN_SHARE) * (time.monotonic() - began)
    if target.target_bytes is not None and not best.hit and (found := control.by_single_tensors(target.target_bytes)) is not None:
        best = control.better(best, found)
    # Half of the time that RDOQ needs is enough to start it: it ends at the deadline with the moves made so far.
    needed = cost_in_steps(fitter.problem) * fitted.step_seconds / 2
    enough = target.target_psnr is None or (best.psnr or 0.0) >= target.target_psnr
    if enough and (worthwhile(fitter.problem) or not best.hit) and time.monotonic() + needed <= deadline:
        best = control.refined(best)
        say(f"RDOQ: {best.size} bytes" + ("" if best.psnr is None else f", {best.psnr:.2f} dB"))
    if target.target_bytes is not None and best.size > target.target_bytes:
        raise TargetMissed(
            "size-unreachable",
            f"the smallest file this network gives is {best.size} bytes, the cap is {target.target_bytes}",
            "a larger target, or --scale 1/2",
        )
    return best

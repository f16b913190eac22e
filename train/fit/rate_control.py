"""Rate control after a fit: it runs extra steps and moves symbols until the encoded file meets its target."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.errors import TargetMissed
from inr.layout import weights
from inr.tensor_spec import Steps
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.fitter import Fitter
from train.fit.loop import Fitted
from train.fit.picture_choice import best_picture
from train.fit.rdoq import Bounds, ByteBudget, cost_in_steps, fill_file, optimise_symbols, worthwhile
from train.fit.rdoq_evaluator import SymbolEvaluator
from train.fit.target import LEAST_USED

ATTEMPTS, REFINEMENTS = 8, 3  # most attempts by extra steps, and most runs of RDOQ towards a target quality
EXTRA_SHARE, FEWEST_STEPS = 0.01, 50  # extra steps of an attempt: share of the fit's steps, and least number
GRIDS_SHARE, GRIDS_FEWEST = 0.03, 100  # the same for grids that are coded with contexts
GRIDS_ATTEMPTS = 2  # attempts towards a cap that their file exceeds, even after the deadline: the last resort costs decibels
# Their rate weight changes by this power of the ratio of sizes, at most by a factor; twice the power if the last attempt fell short.
GRIDS_POWER, MOST_FACTOR = 2.5, 32.0
FAR = 0.9  # share of a file's size from which a cap is so small that grids must change much
CAP_AIM, PSNR_AIM = 0.988, 0.1  # aim of an attempt: share of a cap, or decibels above a target quality
DB_PER_OCTAVE = 2.0  # decibels of PSNR for each doubling of the rate, on ordinary content
MAX_WIDER = 64  # largest increase of a step size's exponent, which is in eighths of an octave
NEAR = 0.94, 1.0  # sizes, as shares of a cap, from which moves of a picture's symbols lead to the cap
MARGIN_SHARE = 0.5  # margin of the next attempt's expected time, as a share of the time of the last attempt
CODER_BITS = (128, 64, 32, 0)  # bits kept free for the overhead of streams; tried in this order until enough of the cap is used
JUST_ABOVE = 0.02  # aim of RDOQ, in decibels above a target quality
SPEND_SECONDS = 1.5  # seconds after the deadline that a search for finer step sizes may take: it only encodes files


class RateControl:
    """The means of rate control: extra steps, coarser or finer step sizes, and RDOQ. Their results are measured on encoded files."""

    def __init__(self, fitter: Fitter, setup: RateControlSetup):
        self.fitter, self.setup, self.target = fitter, setup, setup.target
        self.power, self.was_finer = 0.0, False  # of the last attempt with grids: the power of its ratio, and whether it aimed higher
        self.before, self.share = fitter.state, 1.0  # the state before the last attempt; the share of `extra_steps` that attempts take

    @property
    def extra_steps(self) -> int:
        """The number of extra steps in one attempt."""
        share, fewest = (GRIDS_SHARE, GRIDS_FEWEST) if self.fitter.problem.grids else (EXTRA_SHARE, FEWEST_STEPS)
        return max(fewest, int(share * self.fitter.steps))

    def measured(self, model: QuantizedModel, estimated_bits: float) -> Candidate:
        """The candidate of `model`. The PSNR is measured only if it matters for the target."""
        data, known = self.fitter.encoded(model, self.setup.fingerprint), []

        def psnr() -> float:
            known.append(mean_psnr(model.render_entry(-1), self.setup.video.frames))
            return known[0]

        size = len(data) - self.fitter.base_bytes
        hit = self.target.hit_by(size, psnr)
        return Candidate(data, size, model, estimated_bits, known[0] if known else None, hit)

    def size(self, model: QuantizedModel) -> int:
        """The bytes of the file of `model` that the target limits."""
        return len(self.fitter.encoded(model, self.setup.fingerprint)) - self.fitter.base_bytes

    def measured_symbols(self, model: QuantizedModel) -> Candidate:
        """The candidate of `model`, whose `estimated_bits` are computed from its symbols, not by the loss."""
        return self.measured(model, self.fitter.symbol_bits(model) + self.fitter.problem.overhead_bits)

    def better(self, a: Candidate, b: Candidate) -> Candidate:
        """The candidate that is better for the target; a hit is better than a miss.

        Under a cap, the larger file that fits is better; if no file fits, the smaller file. With a target PSNR, the smaller file is better
        if both reach the target, else the file with the higher PSNR. Without a target, the result is `a`.
        """
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
        """Run extra steps; returns the new candidate and the aim that these steps had, in bytes or decibels.

        `last` is the previous candidate, and `aim` is the aim that led to it. The new aim is `aim`, corrected by the miss of `last`. If a
        weight becomes infinite or not a number, the fit returns to the state before, and `last` is returned again.
        """
        fitter, target, count = self.fitter, self.target, max(1, round(self.share * self.extra_steps))
        self.before = jax.tree.map(jnp.copy, fitter.state)  # a step donates the arrays of the old state
        if target.target_bytes is not None:
            ratio = CAP_AIM * target.target_bytes / last.size
            aim *= min(max(ratio, 0.7), 1.4)
        else:
            missing = (target.target_psnr or 0.0) + PSNR_AIM - (last.psnr or 0.0)
            ratio = 2 ** (missing / DB_PER_OCTAVE)
            aim += min(max(missing, -0.3), 0.3)
        if fitter.problem.grids:
            self.power = 2 * self.power if self.power and (ratio > 1) == self.was_finer else GRIDS_POWER
            self.was_finer = ratio > 1
            fitter.scale_rate_weight(float(np.clip(np.clip(ratio, 0.7, 1.4) ** -self.power, 1 / MOST_FACTOR, MOST_FACTOR)))
            bits = fitter.run_extra_steps(count, far=ratio < FAR)
        elif target.target_bytes is not None:
            bits = fitter.run_extra_steps(self.with_finer_steps(ratio, count), bits=fitter.problem.tensor_bits(8 * aim))
        else:
            bits = fitter.run_extra_steps(self.with_finer_steps(ratio, count), mse=10 ** (-aim / 10))
        if not np.isfinite(np.asarray(fitter.state.parameters.weights)).all():
            fitter.state = self.before  # the attempt diverged
            return last, aim
        return self.measured(fitter.model(), bits), aim

    def went_too_far(self, last: Candidate, found: Candidate) -> bool:
        """Whether an attempt from `last`, whose quality is above the target, led to `found`, whose quality is below it."""
        psnr = self.target.target_psnr
        return psnr is not None and not self.fitter.problem.grids and (last.psnr or 0.0) >= psnr > (found.psnr or 0.0)

    def halve(self) -> float:
        """Return to the state before the last attempt; later attempts take half as many steps. Returns their aim, in decibels."""
        self.fitter.state = self.before
        self.share /= 2
        return (self.target.target_psnr or 0.0) + PSNR_AIM

    def with_finer_steps(self, ratio: float, count: int) -> int:
        """Make all step sizes finer for a file that is `ratio` times as large; returns the number of steps that the attempt needs.

        If `ratio` is at most 1.01, the step sizes stay as they are, and the result is `count`: the controller lowers a rate by the rate
        weight alone. A higher rate needs finer step sizes, because without them weights that were rounded to zero do not come back. The
        result is then 2 * `count`.
        """
        if ratio <= 1.01:
            return count
        bits_per_weight = 8 * self.size(self.fitter.model()) / weights(self.fitter.problem.spec, self.fitter.problem.video)
        self.fitter.widen(-8 * min((ratio - 1) * bits_per_weight, 2.0))
        return 2 * count

    def by_single_tensors(self, cap: int) -> Candidate | None:
        """The largest file of at most `cap` bytes that a search over the tensors' step sizes finds; None if it finds none.

        All step sizes become coarser until the file fits. Then single tensors get finer step sizes, as long as the file still fits. Nothing
        is rendered, so the search may go on for SPEND_SECONDS after the deadline.
        """
        layout = self.fitter.problem.layout
        names = tuple(tensor.name for tensor in layout.tensors if tensor.steps is Steps.LEARNED)
        until = self.setup.deadline + SPEND_SECONDS
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

    def is_worth(self, found: Candidate, best: Candidate) -> bool:
        """Whether `found` may replace `best`: if `best` is over its cap, or if `found` has a higher PSNR.

        Finer step sizes without further training steps fill a cap, but they do not always improve the picture. The attempts that led to
        `found` may have harmed it, too.
        """
        over = self.target.target_bytes is not None and best.size > self.target.target_bytes
        frames = self.setup.video.frames
        return over or mean_psnr(found.model.render_entry(-1), frames) > mean_psnr(best.model.render_entry(-1), frames)

    # RDOQ

    def is_near(self, found: Candidate) -> bool:
        """Whether moves of single symbols can bring `found` to its cap: it is within NEAR, and most of its bits are in grids."""
        cap = self.target.target_bytes
        return cap is not None and bool(self.fitter.problem.grids) and NEAR[0] * cap <= found.size <= NEAR[1] * cap

    def refined(self, found: Candidate) -> Candidate:
        """The better of `found` and its file after RDOQ; without a target, the file after RDOQ."""
        if self.target.target_bytes is not None:
            return self.refined_under_cap(found, self.target.target_bytes)
        if self.target.target_psnr is not None:
            return self.refined_to_quality(found, self.target.target_psnr)
        return self.measured_symbols(optimise_symbols(self.fitter, found.model, Bounds(until=self.setup.deadline)))

    def refined_to_quality(self, found: Candidate, psnr: float) -> Candidate:
        """The better of `found` and a smaller file after RDOQ whose PSNR is still at least `psnr` decibels."""
        # RDOQ limits the MSE of float pictures, the target that of 8-bit pictures. Their ratio hardly changes during RDOQ.
        mse, spare = SymbolEvaluator(self.fitter, found.model).start().mse, (found.psnr or 0.0) - psnr - JUST_ABOVE
        again = found
        for _ in range(REFINEMENTS):
            bounds = Bounds(most_mse=mse * 10 ** (spare / 10), until=self.setup.deadline)
            again = self.measured_symbols(optimise_symbols(self.fitter, found.model, bounds))
            if again.hit or self.setup.over:
                break
            spare -= psnr - (again.psnr or 0.0) + JUST_ABOVE
        return again if again.hit else self.better(found, again)

    def refined_under_cap(self, found: Candidate, cap: int) -> Candidate:
        """The better of `found` and a file after RDOQ that may use the rest of `cap` (bytes), but must not exceed it.

        RDOQ predicts bits without the table of a tensor whose symbols were all zero before, and without the padding of a stream to 32-bit
        words. Therefore it keeps some bits free (CODER_BITS). If this does not lead to a hit, `fill_file` measures the sizes of encoded
        files.
        """
        now = SymbolEvaluator(self.fitter, found.model).start().bits
        best = found
        for spared in CODER_BITS:
            most = now + 8 * (cap - found.size) - spared
            if most <= 0:
                continue
            bounds = Bounds(most_bits=most, least_bits=now + 8 * (LEAST_USED * cap - found.size), until=self.setup.deadline)
            again = self.measured_symbols(optimise_symbols(self.fitter, found.model, bounds))
            best = self.better(best, again)
            if again.hit or self.setup.over:
                return again if again.hit else best
        if best.hit or best.size > cap:
            return best
        full = fill_file(self.fitter, best.model, ByteBudget(self.size, LEAST_USED * cap, cap, self.setup.deadline))
        return self.better(best, self.measured_symbols(full))


def control_rate(fitter: Fitter, fitted: Fitted, setup: RateControlSetup, say: Callable[[str], None] = lambda line: None) -> Candidate:
    """The best file for the target that extra steps, other step sizes and RDOQ give after a fit.

    `fitted` is the result of the fit of `fitter`. `say` gets a line of text after each attempt and after RDOQ. TargetMissed if no file fits
    under the cap. If a target quality is out of reach, the result is the best file, with `hit` False. An attempt starts only if it is
    expected to end before the deadline.
    """
    control, target, deadline = RateControl(fitter, setup), setup.target, setup.deadline
    last = best = control.measured(fitted.model, fitted.estimated_bits)
    tried = [last]
    aim = float(target.target_bytes or 0) * CAP_AIM if target.target_bytes is not None else (target.target_psnr or 0.0) + PSNR_AIM
    expected = 2 * control.extra_steps * fitted.step_seconds
    for attempts in range(ATTEMPTS):
        if best.hit or control.is_near(best):
            break
        over = target.target_bytes is not None and best.size > target.target_bytes and bool(fitter.problem.grids) and not fitted.stopped
        if time.monotonic() + expected > deadline and not (over and attempts < GRIDS_ATTEMPTS):
            break
        began = time.monotonic()
        found, found_aim = control.attempt(last, aim)
        say(f"rate control: {found.size} bytes" + ("" if found.psnr is None else f", {found.psnr:.2f} dB"))
        tried.append(found)
        best = control.better(best, found)
        if control.went_too_far(last, found):
            aim = control.halve()
        else:
            last, aim = found, found_aim
        expected = (1 + MARGIN_SHARE) * (time.monotonic() - began)
    stepwise = target.target_bytes is not None and not best.hit and not fitter.problem.grids
    if stepwise and (found := control.by_single_tensors(target.target_bytes or 0)) is not None:
        best = control.better(best, found) if control.is_worth(found, best) else best
    if fitter.problem.grids:
        best = best_picture(fitter, setup, control.measured_symbols, best, tried)
    # RDOQ starts if at least half of its expected time is left. It stops at the deadline and keeps the moves made so far.
    needed = cost_in_steps(fitter.problem) * fitted.step_seconds / 2
    enough = target.target_psnr is None or (best.psnr or 0.0) >= target.target_psnr
    if enough and (worthwhile(fitter.problem) or not best.hit) and time.monotonic() + needed <= deadline:
        best = control.refined(best)
        say(f"RDOQ: {best.size} bytes" + ("" if best.psnr is None else f", {best.psnr:.2f} dB"))
    if target.target_bytes is not None and best.size > target.target_bytes:
        raise TargetMissed(
            "size-unreachable",
            f"the smallest file of this network has {best.size} bytes, the cap is {target.target_bytes} bytes",
            "a larger target, or --scale 1/2",
        )
    return best

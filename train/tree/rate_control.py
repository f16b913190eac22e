"""Rate control after the fit of a tree: leaves are fitted anew, and symbols become zero, until the encoded file meets its target."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from codec.coding import codings
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.errors import TargetMissed
from inr.layout import tensor_specs
from train.fit.candidate import Candidate, RateControlSetup
from train.tree.context_training import trained_contexts
from train.tree.fitter import TreeFit
from train.tree.leaves import leaves_of, refit_leaves, repeat
from train.tree.model import Tensors, no_differences, quantised_model
from train.tree.rate import BITS_POWER, DECIBELS
from train.tree.trimming import trim

ATTEMPTS, LEAF_UPDATES = 6, 10  # most attempts by leaves, and the updates of a leaf in one
TOO_LITTLE, TOO_MUCH = 1.7, 0.6  # factors of later changes after one that led not far enough to the target, or beyond it
PASSES, LEAST_CHANGE = 5, 0.3  # most further passes towards a cap; the change of the rate weight's logarithm, doubled with each of them
MOST_TRIMMED = 1.1  # the largest file that symbols of all frames may bring under its cap, divided by the cap
FIRST_MARGIN = 1.75  # the first trimming removes symbols of so many times the bits that are too many: their neighbours then cost more
CAP_AIM, PSNR_AIM = 0.985, 0.1  # aim of an attempt: share of a cap, or decibels above a target quality
LEAF_POWER = 1.3  # bits of leaves fall with this power of the rate weight: most of their symbols are near zero
MOST_CHANGE = 1.2  # of the natural logarithm of the leaves' rate weight in an attempt


def control_tree(fit: TreeFit, setup: RateControlSetup, say: Callable[[str], None], hurry: bool = False) -> Candidate:
    """The best file for the target after the fit. With `hurry`, context models keep their default weights.

    TargetMissed if no file fits under the cap. If a target quality is out of reach, the result is the best file, with `hit` False.
    """
    contexts = no_differences(fit.problem) if hurry else trained_contexts(fit)
    control = _Control(fit, setup, contexts)
    best = last = control.measured()
    gain = 1.0
    for _ in range(ATTEMPTS):
        if best.hit or hurry or time.monotonic() + control.attempt_seconds > setup.deadline:
            break
        change = control.log_change(last)
        refit_leaves(fit, min(max(gain * change, -MOST_CHANGE), MOST_CHANGE), LEAF_UPDATES, setup.deadline)
        last = control.measured()
        gain *= TOO_LITTLE if change * control.log_change(last) > 0 else TOO_MUCH
        best = control.better(best, last)
        say(f"rate control: {last.size} bytes" + ("" if last.psnr is None else f", {last.psnr:.2f} dB"))
    cap = setup.target.target_bytes
    best = best if cap is None or best.size <= cap else control.under_cap(last, cap)
    coded = codings(tensor_specs(best.model.spec, best.model.videos[0].spec), best.model.videos[0].tensors)
    return replace(best, estimated_bits=sum(coding.bits for coding in coded.values()) + fit.problem.overhead_bits)


class _Control:
    """The files of a fit whose symbols change, coded with the context models `contexts`."""

    def __init__(self, fit: TreeFit, setup: RateControlSetup, contexts: Tensors):
        self.fit, self.setup, self.target, self.contexts = fit, setup, setup.target, contexts

    def measured(self) -> Candidate:
        """The file of the present symbols. Its PSNR is measured only if it matters for the target."""
        model = quantised_model(self.fit.problem, self.fit.state, self.contexts)
        return self.measured_model(replace(model, fingerprints=self.setup.fingerprint))

    def measured_model(self, model: QuantizedModel) -> Candidate:
        """The file of a model."""
        data, known = encode(model), list[float]()

        def psnr() -> float:
            known.append(mean_psnr(model.render_entry(-1), self.setup.video.frames))
            return known[0]

        hit = self.target.hit_by(len(data), psnr)
        return Candidate(data, len(data), model, 0.0, known[0] if known else None, hit)

    @property
    def attempt_seconds(self) -> float:
        """The expected duration of an attempt by leaves, with a margin for the encoding."""
        if self.setup.deadline == math.inf:
            return 0.0
        update, other = self.fit.pace.frame_seconds()
        return 1.3 * len(leaves_of(self.fit)) * (LEAF_UPDATES * update + other)

    def log_change(self, last: Candidate) -> float:
        """The change of the leaves' rate weight, as a natural logarithm, that should lead from `last` to the target."""
        leaves = leaves_of(self.fit)
        if self.target.target_bytes is not None:
            bits = float(self.fit.state.latest.bits[leaves].astype(float).sum())
            wanted = bits + 8 * (CAP_AIM * self.target.target_bytes - last.size)
            change = -math.log(max(wanted, 0.05 * bits) / bits) / LEAF_POWER
        else:
            missing = (self.target.target_psnr or 0.0) + PSNR_AIM - (last.psnr or 0.0)
            change = -missing * len(self.fit.order) / len(leaves) / DECIBELS
        return min(max(change, -MOST_CHANGE), MOST_CHANGE)

    def better(self, a: Candidate, b: Candidate) -> Candidate:
        """The candidate that is better for the target: see `train.fit.rate_control.RateControl.better`."""
        if a.hit != b.hit:
            return a if a.hit else b
        cap, psnr = self.target.target_bytes, self.target.target_psnr
        if cap is not None:
            fitting = [candidate for candidate in (a, b) if candidate.size <= cap]
            return max(fitting, key=lambda candidate: candidate.size) if fitting else min(a, b, key=lambda candidate: candidate.size)
        if psnr is None or a.psnr is None or b.psnr is None:
            return a
        if min(a.psnr, b.psnr) >= psnr:
            return min(a, b, key=lambda candidate: candidate.size)
        return max(a, b, key=lambda candidate: candidate.psnr or 0.0)

    def under_cap(self, found: Candidate, cap: int) -> Candidate:
        """A file of at most `cap` bytes, from the present symbols, whose file is `found`; TargetMissed if there is none.

        Symbols become zero. If that would take too many of them, another quick pass follows at a much larger rate weight.
        """
        for attempt in range(PASSES):
            margin, enough = FIRST_MARGIN, True
            while found.size > cap and enough:
                enough = trim(self.fit, found.model, 8 * margin * (found.size - cap), leaves_only=found.size > MOST_TRIMMED * cap)
                found, margin = self.measured(), 2 * margin
            if found.size <= cap:
                break
            repeat(self.fit, max(math.log(found.size / (CAP_AIM * cap)) / BITS_POWER, LEAST_CHANGE) * 2**attempt)
            self.contexts = no_differences(self.fit.problem)
            found = self.measured()
        if found.size > cap:
            what = f"the smallest file of this fit has {found.size} bytes, the cap is {cap} bytes"
            raise TargetMissed("size-unreachable", what, "a larger target, a longer --time-budget, or --scale 1/2")
        return found

"""train/fit/rate_control.py: a finished fit's file is brought to its cap or to its quality, and never exceeds a cap."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_fits import STEPS, refitted, saved_by_choice, short_plan

from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import evaluate, mean_psnr
from inr.errors import TargetMissed
from inr.video import Video
from train.encode.verified_file import check_same
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.fitter import Fitter
from train.fit.loop import Fitted, fit
from train.fit.rate_control import SPEND_SECONDS, RateControl, control_rate
from train.fit.target import LEAST_USED, MOST_ABOVE, RateTarget
from train.plan.encode_plan import EncodePlan

NOW = 100.0  # of a clock that stands still


@pytest.fixture(autouse=True)
def quick_rdoq(monkeypatch: pytest.MonkeyPatch) -> None:
    """RDOQ tries one share of a tensor's promising moves instead of four."""
    monkeypatch.setattr("train.fit.rdoq.SHARES", (0.06,))


@pytest.fixture(scope="module")
def plan(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    """A plan with a network of few tensors: RDOQ looks at each of them."""
    return short_plan(clip, tmp_path_factory.mktemp("plan"), model="nerv+cam")


@pytest.fixture(scope="module")
def fitted(plan: EncodePlan, clip: Video) -> Fitted:
    return fit(plan.fitter(clip))


@pytest.fixture
def fitter(plan: EncodePlan, clip: Video, fitted: Fitted) -> Fitter:
    """The fitter at the end of that fit."""
    return refitted(plan, clip, fitted)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate control's clock stands still at NOW."""
    monkeypatch.setattr("train.fit.rate_control.time", SimpleNamespace(monotonic=lambda: NOW))


def capped(clip: Video, cap: int, deadline: float = math.inf) -> RateControlSetup:
    """A setup at a cap."""
    return RateControlSetup(clip, RateTarget(target_bytes=cap), b"1234", deadline)


def check_capped(found: Candidate, cap: int) -> None:
    """The file takes nearly all of its cap and no more, and is the model's."""
    assert found.hit
    assert LEAST_USED * cap <= found.size == len(found.data) <= cap
    assert decode(found.data).fingerprints == b"1234"
    check_same(decode(found.data), found.model)


# Caps


@pytest.mark.parametrize("share", [1.5, 0.99, 0.9])
def test_a_cap_is_never_exceeded_and_nearly_used_up(fitter: Fitter, fitted: Fitted, clip: Video, share: float):
    cap = int(share * len(encode(fitted.model)))
    found = control_rate(fitter, fitted, capped(clip, cap))
    check_capped(found, cap)
    # After RDOQ the estimate counts symbols as they are coded, after steps alone as the loss expects them.
    spared = min((found.estimated_bits - bits - 8 * found.size for bits in (0.0, saved_by_choice(found.model))), key=abs)
    assert abs(spared) <= 0.01 * 8 * found.size + 8 * 64


@pytest.mark.parametrize("cap", [110, 300])
def test_a_cap_of_a_hundred_bytes_is_used_up(clip: Video, tmp_path_factory: pytest.TempPathFactory, cap: int):
    """By the default network. A stream's 32-bit words and single symbols count there: symbols are moved, and nothing is padded."""
    plan = short_plan(clip, tmp_path_factory.mktemp("plan"), target_size=cap)
    fitter = plan.fitter(clip)
    check_capped(control_rate(fitter, fit(fitter), capped(clip, cap)), cap)


def test_bytes_that_foreseen_bits_leave_of_a_cap_are_filled(fitter: Fitter, fitted: Fitted, clip: Video, monkeypatch: pytest.MonkeyPatch):
    """Where RDOQ by foreseen bits moves nothing, the sizes of real files decide."""
    cap = int(1.035 * len(encode(fitted.model)))
    control = RateControl(fitter, capped(clip, cap))
    monkeypatch.setattr("train.fit.rate_control.optimise_symbols", lambda fitter, model, bounds: model)
    check_capped(control.refined_under_cap(control.measured(fitted.model, 0.0), cap), cap)


@pytest.mark.usefixtures("still_clock")
def test_the_rest_of_a_cap_is_spent_after_the_deadline(fitter: Fitter, fitted: Fitted, clip: Video):
    """By finer step sizes of single tensors, without steps or RDOQ, not for longer than SPEND_SECONDS, and never for a worse picture."""
    said, cap = [], int(1.3 * len(encode(fitted.model)))
    full = RateControl(fitter, capped(clip, cap, NOW - 0.5 * SPEND_SECONDS)).by_single_tensors(cap)
    assert full is not None
    check_capped(full, cap)
    soon = control_rate(fitter, fitted, capped(clip, cap, NOW - 0.5 * SPEND_SECONDS), said.append)
    better = mean_psnr(full.model.render(), clip.frames) > mean_psnr(fitted.model.render(), clip.frames)
    assert soon.size == (full.size if better else len(fitter.encoded(fitted.model, b"1234")))
    late = control_rate(fitter, fitted, capped(clip, cap, NOW - 1.5 * SPEND_SECONDS), said.append)
    assert late.model is fitted.model
    assert said == []
    assert mean_psnr(soon.model.render(), clip.frames) >= mean_psnr(late.model.render(), clip.frames)


@pytest.mark.usefixtures("still_clock")
def test_a_fit_that_is_too_large_is_brought_under_its_cap_after_the_deadline(fitter: Fitter, fitted: Fitted, clip: Video):
    """By coarser step sizes, however late it is."""
    cap = int(0.6 * len(encode(fitted.model)))
    found = control_rate(fitter, fitted, capped(clip, cap, NOW - 0.5 * SPEND_SECONDS))
    check_capped(found, cap)
    assert control_rate(fitter, fitted, capped(clip, cap, NOW - 1.5 * SPEND_SECONDS)).size <= found.size


@pytest.mark.usefixtures("still_clock")
def test_a_file_over_its_cap_is_never_returned(fitter: Fitter, fitted: Fitted, clip: Video):
    with pytest.raises(TargetMissed, match="the cap is 20") as raised:
        control_rate(fitter, fitted, capped(clip, 20, NOW - 1))
    assert raised.value.identifier == "size-unreachable"


# Qualities


@pytest.fixture(scope="module")
def long_plan(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    """A plan of enough steps for RDOQ to pay."""
    return short_plan(clip, tmp_path_factory.mktemp("long"), model="nerv+cam", preset=str(4 * STEPS))


@pytest.fixture(scope="module")
def long_fitted(long_plan: EncodePlan, clip: Video) -> Fitted:
    return fit(long_plan.fitter(clip))


@pytest.mark.parametrize("change", [-1.0, 0.5])
def test_a_quality_is_reached_and_little_more(long_plan: EncodePlan, long_fitted: Fitted, clip: Video, change: float):
    psnr = mean_psnr(long_fitted.model.render(), clip.frames) + change
    fitter = refitted(long_plan, clip, long_fitted)
    found = control_rate(fitter, long_fitted, RateControlSetup(clip, RateTarget(target_psnr=psnr), b""))
    assert found.hit
    measured = evaluate(found.data, clip).psnr_rgb
    assert psnr <= measured <= psnr + MOST_ABOVE
    assert found.psnr == measured


def test_a_quality_out_of_reach_gives_the_best_file(fitter: Fitter, fitted: Fitted, clip: Video):
    said = []
    found = control_rate(fitter, fitted, RateControlSetup(clip, RateTarget(target_psnr=60.0), b""), said.append)
    assert not found.hit
    assert evaluate(found.data, clip).psnr_rgb == found.psnr
    attempts = [float(line.split(", ")[1].removesuffix(" dB")) for line in said]
    assert found.psnr >= max(attempts) - 0.005
    assert all(line.startswith("rate control: ") for line in said)


# Parts


def candidate(size: int, psnr: float | None = None, hit: bool = False) -> Candidate:
    """A candidate of which nothing else counts."""
    return Candidate(b"", size, SimpleNamespace(), 0.0, psnr, hit)


def test_the_better_candidate_is_nearer_to_the_target(fitter: Fitter, clip: Video):
    under_cap = RateControl(fitter, capped(clip, 100)).better
    to_quality = RateControl(fitter, RateControlSetup(clip, RateTarget(target_psnr=30.0), b"")).better
    for better, a, b, expected in (
        (under_cap, candidate(80), candidate(90), 90),  # the larger of those under the cap
        (under_cap, candidate(90), candidate(101), 90),
        (under_cap, candidate(120), candidate(110), 110),  # the smaller of those above
        (under_cap, candidate(60, hit=True), candidate(90), 60),  # a hit before all
        (to_quality, candidate(80, 31.0), candidate(90, 32.0), 80),  # the smaller of those good enough
        (to_quality, candidate(80, 29.0), candidate(90, 29.5), 90),  # the better of the others
        (to_quality, candidate(80, 29.0), candidate(90, 31.0), 90),
    ):
        assert better(a, b).size == better(b, a).size == expected


def test_an_attempt_that_is_not_finite_leaves_the_state_before_it(fitter: Fitter, fitted: Fitted, clip: Video):
    control, before = RateControl(fitter, capped(clip, 3000)), jax.tree.map(np.asarray, fitter.state)

    def explode(count: int, bits: float = 0.0, mse: float = 0.0) -> float:
        weights = jnp.full_like(fitter.state.parameters.weights, jnp.nan)
        fitter.state = fitter.state._replace(parameters=fitter.state.parameters._replace(weights=weights))
        return math.nan

    fitter.run_extra_steps = explode
    last = control.measured(fitted.model, fitted.estimated_bits)
    assert control.attempt(last, 2900.0)[0] is last
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(fitter.state), strict=True))

"""train/fit/loop.py: the loop over a fit of one video or of several: its checkpoints, its signals, and a loss that is not finite."""

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_fits import STEPS, MemoryStore, saved_by_choice, short_plan

from codec.bundle import BundleSettings
from codec.encoder import encode
from inr.errors import InrError, UsageError
from inr.video import Video
from train.bundle.pretraining import make_fitters
from train.fit.checkpoint import Workdir
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.joint_fitter import JointFitter
from train.fit.loop import MAX_RESTORES, Trainable, fit, run_loop
from train.fit.state import TrainState
from train.plan.encode_plan import EncodePlan
from train.plan.options import encode_options

ROUNDS = 6
Make = Callable[[], Trainable]


@pytest.fixture(scope="module")
def plan(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    return short_plan(clip, tmp_path_factory.mktemp("plan"), model="nerv+cam")


@pytest.fixture(scope="module", params=["one video", "several videos"])
def make(request: pytest.FixtureRequest, plan: EncodePlan, clip: Video) -> Make:
    """A function that makes a fit, not begun: of one video, or of two images at once."""
    if request.param == "one video":
        return lambda: plan.fitter(clip)
    images = [replace(clip[at : at + 1], name=str(at)) for at in (0, 3)]
    options = encode_options(quality=60, preset=str(ROUNDS))
    return lambda: JointFitter(make_fitters(images, ["00" * 32] * 2, BundleSettings(), options))


def same_state(a: object, b: object) -> bool:
    """Whether two states hold the same numbers."""
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def states_of(fitted: Trainable) -> tuple[TrainState, ...]:
    """The state of each video."""
    return fitted.snapshot().states if isinstance(fitted, JointFitter) else (fitted.snapshot(),)


def poisoned(fitted: Trainable, chunks: Callable[[int], bool]) -> Trainable:
    """`fitted` whose weights become NaN before the chunks whose number `chunks` accepts."""
    honest, calls = fitted.run_chunk, []

    def run_chunk():
        calls.append(None)
        if chunks(len(calls)):
            fitted.resume(jax.tree.map(lambda x: x * jnp.nan if jnp.asarray(x).dtype == jnp.float32 else x, fitted.snapshot()))
        return honest()

    fitted.run_chunk = run_chunk
    return fitted


# Resuming


def test_a_resumed_fit_ends_in_the_same_state(make: Make):
    whole = make()
    store = MemoryStore(at=whole.steps // 2)
    assert run_loop(whole, store, save_seconds=0).steps == whole.steps
    assert store.kept is not None
    resumed = make()
    outcome = run_loop(resumed, store)
    assert outcome.steps == whole.steps - whole.steps // 2
    assert same_state(resumed.snapshot(), whole.snapshot())


def test_a_state_at_its_last_step_is_a_result(plan: EncodePlan, clip: Video):
    """As after a kill between the last step and the file's name."""
    store = MemoryStore(at=STEPS)
    whole = fit(plan.fitter(clip), store, save_seconds=0)
    again = fit(plan.fitter(clip), store)
    data = encode(again.model)
    assert data == encode(whole.model)
    assert abs(again.estimated_bits - 8 * len(data)) <= 0.01 * 8 * len(data) + 8 * 64


def test_checkpoints_come_back_from_disk(make: Make, tmp_path: Path):
    fitted = make()
    fitted.run_chunk()
    workdir = Workdir(tmp_path / "work", "key")
    assert workdir.restore(fitted.snapshot()) is None
    workdir.remember(steps=7)
    workdir.save(fitted.snapshot())
    again = Workdir(tmp_path / "work", "key")
    assert again.facts["steps"] == 7
    restored = again.restore(make().snapshot())
    assert restored is not None
    assert same_state(restored, fitted.snapshot())
    again.remove()
    assert not (tmp_path / "work").exists()


def test_a_folder_belongs_to_one_run(tmp_path: Path):
    Workdir(tmp_path / "work", "key").remember(steps=7)
    with pytest.raises(UsageError) as raised:
        Workdir(tmp_path / "work", "other key")
    assert raised.value.identifier == "other-run"
    assert "--resume never" in raised.value.fix
    assert Workdir(tmp_path / "work", "key").facts["steps"] == 7
    assert Workdir(tmp_path / "work", "other key", fresh=True).facts == {"key": "other key"}


def test_a_checkpoint_of_another_build_is_refused(plan: EncodePlan, clip: Video, tmp_path: Path):
    state = plan.fitter(clip).state
    fewer = state.parameters._replace(weights=state.parameters.weights[:-1])
    Workdir(tmp_path / "work", "key").save(state._replace(parameters=fewer))
    with pytest.raises(UsageError) as raised:
        Workdir(tmp_path / "work", "key").restore(state)
    assert raised.value.identifier == "other-build"
    assert "--resume never" in raised.value.fix
    assert Workdir(tmp_path / "work", "key", fresh=True).restore(state) is None


# Requests to stop


def test_a_fit_that_is_stopped_early_is_saved_and_properly_rounded(plan: EncodePlan, clip: Video, monkeypatch: pytest.MonkeyPatch):
    """Its model is in the file as the loss saw it: the tail of hard rounding is shortened to one chunk here."""
    monkeypatch.setattr("train.fit.loop.FINISH_SECONDS", 1e-6)
    fitter = replace(plan, problem=plan.problem.with_steps(100_000)).fitter(clip)
    polls, store = iter([StopRequest.NOTHING, StopRequest.NOTHING, StopRequest.FINISH]), MemoryStore(at=32)
    fitted = fit(fitter, store, stop_requested=lambda: next(polls))
    assert fitted.stopped
    assert store.kept is not None
    assert fitted.steps == 48  # two chunks, and the tail
    bits = 8 * len(encode(fitted.model))
    assert abs(fitted.estimated_bits - saved_by_choice(fitted.model) - bits) <= 0.01 * bits + 8 * 64


def test_a_fit_that_is_told_to_leave_saves_its_latest_state_at_once(make: Make):
    fitted, polls = make(), iter([StopRequest.NOTHING, StopRequest.LEAVE])
    store = MemoryStore(at=16 if isinstance(fitted, Fitter) else 1)
    with pytest.raises(Preempted):
        run_loop(fitted, store, stop_requested=lambda: next(polls))
    assert store.kept is not None
    assert same_state(store.kept, fitted.snapshot())


def test_signals_become_requests_of_the_loop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.fit.interrupts.time", SimpleNamespace(monotonic=lambda: 100.0))
    with Interrupts() as interrupts:
        assert interrupts.request_by(101) is StopRequest.NOTHING
        assert interrupts.request_by(99) is StopRequest.FINISH  # the deadline is over
        signal.raise_signal(signal.SIGINT)
        assert interrupts.request_by(101) is interrupts.request_by(99) is StopRequest.HURRY
        assert interrupts.request_by(101, whole=True) is StopRequest.LEAVE
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.request_by(101) is StopRequest.LEAVE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_each_pre_emption_asks_to_leave_unless_it_is_ignored(number: signal.Signals):
    before = signal.signal(number, signal.SIG_DFL)  # also where tests run under nohup, which ignores SIGHUP
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(number)
            assert interrupts.request_by(math.inf) is StopRequest.LEAVE
        signal.signal(number, signal.SIG_IGN)
        with Interrupts() as interrupts:
            signal.raise_signal(number)
            assert interrupts.request_by(math.inf) is StopRequest.NOTHING
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_preempted_fit_says_whether_it_was_by_hand(by_hand: bool):
    def leave() -> None:
        with Interrupts():
            signal.raise_signal(signal.SIGINT if by_hand else signal.SIGTERM)
            raise Preempted

    with pytest.raises(Preempted) as raised:
        leave()
    assert raised.value.by_hand == by_hand


# A loss that is not finite


def test_a_loss_that_is_not_finite_goes_back_to_the_last_good_state(make: Make, monkeypatch: pytest.MonkeyPatch):
    """At half the learning rate of every video; the fit ends at its last step all the same."""
    monkeypatch.setattr("train.fit.loop.SNAPSHOT_SECONDS", math.inf)  # the good state is the one after the first chunk
    fitted, seen = poisoned(make(), lambda chunk: chunk == 3), []
    run_loop(fitted, watch=seen.append)
    assert fitted.done == fitted.steps
    assert [float(state.lr_backoff) for state in states_of(fitted)] == [0.5] * len(states_of(fitted))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted.snapshot()))
    assert all(math.isfinite(progress.psnr + progress.bpp) for progress in seen)
    chunks = [progress.step for progress in seen]
    first, second = chunks[:2]
    assert chunks == [first, second, *range(second, fitted.steps + 1, first)]  # the second chunk was run once more


def test_a_fit_that_never_becomes_finite_gives_up(make: Make):
    restores = []
    fitted = poisoned(make(), lambda chunk: chunk > 1)
    honest = fitted.backed_off
    fitted.backed_off = lambda state: restores.append(None) or honest(state)
    with pytest.raises(InrError) as raised:
        run_loop(fitted)
    assert raised.value.identifier == "diverged"
    assert len(restores) == MAX_RESTORES
    assert "--seed" in raised.value.fix

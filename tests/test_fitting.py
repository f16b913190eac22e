"""train/: the loop. What it candidate_moves of its result, and of being stopped, resumed, or led astray."""

import math
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import evaluate, mean_psnr
from codec.model import QuantizedModel
from codec.coding import best_coding, coding, predictable
from inr.errors import ResourceError, TargetMissed, UsageError, VerifyError
from inr.video import Video
from train.fit import step as step_module
from train.fit.batches import batch_indices
from train.fit.checkpoint import Workdir
from train.encode.run import EncodeOptions, encode_video, fit_deadline, prepare
from train.fit.loop import Fitter, fit
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.rate_control import LEAST_USED, MOST_ABOVE, Landing, Target, check_same, landed
from train.fit.tensorboard import bits_by_part
from train.plan.memory import check_memory
from train.plan.fingerprint import run_key
from train.fit.rate import DIFFERENCED
from train.fit.rdoq import cost_in_steps, worthwhile
from train.fit.state import TrainState
from train.fit.step import Problem, make_advance
from train.fit.target import RateTarget

OPTIONS = EncodeOptions(target=RateTarget(target_bpp=2.0))
STEPS = 96


@pytest.fixture(scope="module")
def problem(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    run = prepare(clip, tmp_path_factory.mktemp("plan") / "a.inr", OPTIONS)
    return replace(run.problem, config=replace(run.problem.config, steps=STEPS))


def same_state(a: TrainState, b: TrainState) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def saved_by_choice(model: QuantizedModel) -> float:
    """Bits that the coder saves where it takes differences, or not, unlike what the loss expects."""
    tensors = model.layers[-1].tensors | model.videos[-1].tensors
    expected = [coding(t.symbols, name.startswith(DIFFERENCED) and predictable(t.symbols.shape)).bits for name, t in tensors.items()]
    return sum(expected) - sum(best_coding(t.symbols).bits for t in tensors.values())


def test_the_loss_falls_and_its_rate_is_the_files(problem: Problem, clip: Video):
    seen = []
    fitted = fit(Fitter(problem, clip), watch=seen.append)
    assert fitted.steps == STEPS
    assert seen[-1].psnr > seen[0].psnr + 3
    data = encode(fitted.model)
    assert abs(fitted.estimated_bits - saved_by_choice(fitted.model) - 8 * len(data)) <= 0.01 * 8 * len(data) + 8 * 64
    check_same(decode(data), fitted.model)


def test_the_network_in_training_is_the_decoders(problem: Problem, clip: Video):
    """At hard rounding the loss sees the very tensors that the file will hold."""
    from train.fit.qat import quantized

    fitter = Fitter(problem, clip)
    fitter.run_steps(16, 0.9, 0.001)
    parameters = fitter.state.parameters
    weights, _, _ = quantized(
        problem.layout, parameters.weights, parameters.exponents, jax.random.key(0), jnp.float32(0), jnp.float32(1), jnp.bool_(True)
    )
    decoded = decode(encode(fitter.model())).tensors()
    assert all(np.array_equal(value, decoded[name]) for name, value in problem.layout.unpack(weights).items())


class Memory:
    """A store that keeps the state of one step, as a process that was killed would have left it."""

    def __init__(self, at: int):
        self.at, self.kept = at, None

    def save(self, state: TrainState) -> None:
        if int(state.step) == self.at:
            self.kept = jax.tree.map(np.asarray, state)

    def restore(self, like: TrainState) -> TrainState | None:
        return None if self.kept is None else jax.tree.map(jnp.asarray, self.kept)


def test_resuming_gives_the_same_bytes(problem: Problem, clip: Video):
    store = Memory(at=48)
    whole = encode(fit(Fitter(problem, clip), store, save_seconds=0).model)
    assert store.kept is not None
    resumed = fit(Fitter(problem, clip), store)
    assert encode(resumed.model) == whole


def test_checkpoints_come_back_from_disk(problem: Problem, clip: Video, tmp_path: Path):
    fitter = Fitter(problem, clip)
    fitter.run_steps(16, 0.0, 0.01)
    workdir = Workdir(tmp_path / "work", "key")
    assert workdir.restore(fitter.state) is None
    workdir.remember(steps=7)
    workdir.save(fitter.state)
    again = Workdir(tmp_path / "work", "key")
    assert again.facts["steps"] == 7
    restored = again.restore(Fitter(problem, clip).state)
    assert restored is not None
    assert same_state(restored, fitter.state)
    with pytest.raises(UsageError, match="another input"):
        Workdir(tmp_path / "work", "other key")
    again.remove()
    assert not (tmp_path / "work").exists()


def test_a_checkpoint_of_another_build_is_refused(problem: Problem, clip: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state = Fitter(problem, clip).state
    parameters = state.parameters
    workdir = Workdir(tmp_path / "work", "key")
    workdir.save(state._replace(parameters=parameters._replace(weights=parameters.weights[:-1])))
    with pytest.raises(UsageError, match="another build") as raised:
        Workdir(tmp_path / "work", "key").restore(state)
    assert "--resume never" in raised.value.fix
    assert Workdir(tmp_path / "work", "key", fresh=True).restore(state) is None
    key = run_key(clip)
    monkeypatch.setattr("train.plan.fingerprint.DRAFT", 15)
    assert run_key(clip) != key


def test_stopping_early_still_rounds_and_saves(problem: Problem, clip: Video):
    long = replace(problem, config=replace(problem.config, steps=100_000))
    polls = iter([StopRequest.NOTHING, StopRequest.NOTHING, StopRequest.FINISH])
    store = Memory(at=32)
    began = time.monotonic()
    fitted = fit(Fitter(long, clip), store, asked=lambda: next(polls))
    assert fitted.stopped
    assert store.kept is not None
    data = encode(fitted.model)
    assert abs(fitted.estimated_bits - saved_by_choice(fitted.model) - 8 * len(data)) <= 0.01 * 8 * len(data) + 8 * 64
    assert time.monotonic() - began < 15


def test_leaving_saves_the_latest_state_at_once(problem: Problem, clip: Video):
    polls = iter([StopRequest.NOTHING, StopRequest.LEAVE])
    store = Memory(at=16)
    with pytest.raises(Preempted):
        fit(Fitter(problem, clip), store, asked=lambda: next(polls))
    assert store.kept is not None


def test_a_loss_that_is_not_finite_goes_back_to_the_last_good_state(problem: Problem, clip: Video):
    fitter = Fitter(problem, clip)
    honest, calls = fitter.advance, []

    def sabotaged(*arguments):
        state, metrics = honest(*arguments)
        calls.append(None)
        if len(calls) == 3:
            broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan) if x.dtype == jnp.float32 else x, state)
            return broken, metrics._replace(mse=jnp.float32(jnp.nan))
        return state, metrics

    fitter.advance = sabotaged
    fitted = fit(fitter)
    assert fitted.steps == STEPS
    assert float(fitted.state.lr_backoff) == 0.5
    assert all(np.isfinite(values).all() for values in fitted.model.tensors().values())


def test_a_loop_in_one_dispatch_takes_the_same_steps(problem: Problem, clip: Video):
    """What accelerators run against what CPUs run."""
    frames = jnp.asarray(clip.frames)
    pace = problem.pace(0.2, 0.01)
    one, metrics_one = make_advance(problem)(Fitter(problem, clip).state, frames, pace, 3, None, False)
    many, metrics_many = step_module._in_one_dispatch(problem)(Fitter(problem, clip).state, frames, pace, 3, None, False)
    np.testing.assert_allclose(metrics_one.mse, metrics_many.mse, rtol=1e-3)
    np.testing.assert_allclose(one.parameters.weights, many.parameters.weights, atol=2e-3)
    assert int(one.step) == int(many.step) == 3


def test_many_steps_are_smaller_ones(problem: Problem, clip: Video):
    """Beyond so many steps, a step moves weights the less the more of them there are: by 4 ** 0.75 for four times as many."""

    def moved(steps: int) -> np.ndarray:
        fitter = Fitter(replace(problem, config=replace(problem.config, steps=steps)), clip)
        before = np.asarray(fitter.state.parameters.weights)
        fitter.run_steps(1, 0.5, 0.0)
        return np.abs(np.asarray(fitter.state.parameters.weights) - before)

    whole, quarter = moved(problem.config.lr_decay_after_steps), moved(4 * problem.config.lr_decay_after_steps)
    np.testing.assert_array_equal(whole, moved(100))
    np.testing.assert_allclose(quarter, whole / 4**0.75, atol=1e-6)


def test_every_frame_is_seen_once_an_epoch():
    key = jax.random.key(3)
    seen = jnp.concatenate([batch_indices(key, jnp.int32(step), 2, 6) for step in range(6)])
    assert sorted(seen[:6].tolist()) == sorted(seen[6:].tolist()) == list(range(6))
    assert seen[:6].tolist() != seen[6:].tolist()


def test_an_embedder_teaches_and_then_leaves(clip: Video, tmp_path: Path):
    run = prepare(clip, tmp_path / "a.inr", replace(OPTIONS, model="hnerv", preset="fast"))
    problem = replace(run.problem, config=replace(run.problem.config, steps=40, embedder_until=0.5))
    fitter = Fitter(problem, clip)
    before = problem.layout.unpack(fitter.state.parameters.weights)["embedding"]
    fitter.run_steps(6, 0.0, 0.0)
    made = problem.layout.unpack(fitter.state.parameters.weights)["embedding"]
    assert (jnp.abs(made - before).max(axis=(1, 2, 3)) > 0).all()  # six steps of one frame: every frame's was written
    fitted = fit(fitter)
    assert fitted.steps == 40
    check_same(decode(encode(fitted.model)), fitted.model)


def test_tensorboard_shows_bits_by_part(problem: Problem, clip: Video):
    fitter = Fitter(problem, clip)
    tensors = fitter.own(fitter.model())
    parts = bits_by_part(tensors)
    assert set(parts) == {"embedding", "stem", "blocks", "canvas", "head"}
    assert sum(parts.values()) == pytest.approx(sum(best_coding(tensor.symbols).bits for tensor in tensors.values()))


@pytest.mark.parametrize("share", [1.6, 1.3, 0.99, 0.9, 0.75])
def test_a_cap_is_never_exceeded_and_nearly_used_up(problem: Problem, clip: Video, share: float):
    fitter = Fitter(problem, clip)
    fitted = fit(fitter)
    cap = int(share * len(encode(fitted.model)))
    found = landed(fitter, fitted, clip, Target(cap=cap), b"1234")
    assert found.hit
    assert LEAST_USED * cap <= len(found.data) <= cap
    assert decode(found.data).fingerprints == b"1234"
    check_same(decode(found.data), found.model)
    spared = min((found.estimated_bits - bits - 8 * len(found.data) for bits in (0.0, saved_by_choice(found.model))), key=abs)
    assert abs(spared) <= 0.01 * 8 * len(found.data) + 8 * 64  # refined symbols are counted as they are coded, a fit's as expected


@pytest.mark.parametrize("cap", [110, 300])
def test_a_cap_of_a_hundred_bytes_is_used_up(clip: Video, tmp_path: Path, cap: int):
    """Where a stream's 32-bit words and a single symbol count: found by moving symbols, not by padding."""
    run = prepare(clip, tmp_path / "a.inr", replace(OPTIONS, target=RateTarget(target_bytes=cap)))
    fitter = Fitter(replace(run.problem, config=replace(run.problem.config, steps=STEPS)), clip)
    found = landed(fitter, fit(fitter), clip, Target(cap=cap), b"1234")
    assert found.hit
    assert LEAST_USED * cap <= len(found.data) <= cap
    check_same(decode(found.data), found.model)


def test_what_foreseen_bits_leave_of_a_cap_is_filled(problem: Problem, clip: Video, monkeypatch: pytest.MonkeyPatch):
    fitter = Fitter(problem, clip)
    model = fit(fitter).model
    cap = int(1.035 * len(encode(model)))
    landing = Landing(fitter, clip, Target(cap=cap), b"1234")
    monkeypatch.setattr("train.fit.rate_control.refined", lambda fitter, model, bounds: model)
    found = landing.refined_under_cap(landing.measured(model, 0.0), cap)
    assert found.hit
    assert LEAST_USED * cap <= len(found.data) <= cap


@pytest.mark.parametrize("change", [-1.0, 0.5])
def test_a_quality_is_met_and_little_more(problem: Problem, clip: Video, change: float):
    fitter = Fitter(replace(problem, config=replace(problem.config, steps=8 * STEPS)), clip)
    fitted = fit(fitter)
    psnr = mean_psnr(fitted.model.render(), clip.frames) + change
    found = landed(fitter, fitted, clip, Target(psnr=psnr), b"")
    assert found.hit
    measured = evaluate(found.data, clip).psnr_rgb
    assert psnr <= measured <= psnr + MOST_ABOVE
    assert found.psnr == measured


def test_a_quality_out_of_reach_gives_the_best_file(problem: Problem, clip: Video):
    fitter = Fitter(problem, clip)
    found = landed(fitter, fit(fitter), clip, Target(psnr=60.0), b"")
    assert not found.hit
    assert evaluate(found.data, clip).psnr_rgb == found.psnr


def test_an_impossible_cap_is_refused_before_fitting(clip: Video, tmp_path: Path):
    with pytest.raises(TargetMissed, match="below what any file") as raised:
        encode_video(clip, tmp_path / "a.inr", replace(OPTIONS, target=RateTarget(target_bpp=0.05)))
    assert "--target-size" in raised.value.fix
    assert not list(tmp_path.iterdir())


def test_a_wrong_file_is_noticed(problem: Problem, clip: Video):
    fitter = Fitter(problem, clip)
    first = fitter.model()
    fitter.run_steps(16, 0.9, 0.0)
    with pytest.raises(VerifyError):
        check_same(first, fitter.model())


def test_too_little_memory_is_said_beforehand(problem: Problem):
    huge = replace(problem.video, width=40_000, height=40_000, frames=10_000)
    with pytest.raises(ResourceError, match=r"GB; .* are free") as raised:
        check_memory(problem.spec, huge, problem.config)
    assert raised.value.exit_code == 8


@pytest.mark.parametrize("seconds", [0.02, 0.015, 0.01, 0.005, 0.001])
def test_time_is_kept_for_refining_only_where_it_will_happen(clip: Video, tmp_path: Path, seconds: float):
    run = prepare(clip, tmp_path / "a.inr", replace(OPTIONS, time_budget=20.0))
    run = replace(run, step_seconds=seconds)
    now = time.monotonic()
    steps = run.with_step_count(Fitter(run.problem, clip), 20.0, now).config.steps
    within, cost = int((20.0 * 0.9 - 6.0) / seconds), cost_in_steps(run.problem)
    expected = within - cost if worthwhile(run.with_steps(within - cost)) else within
    assert steps == pytest.approx(expected, abs=2 + 0.5 / seconds)


def test_a_preset_that_is_a_number_bounds_what_a_budget_is_used_for(clip: Video, tmp_path: Path):
    options = replace(OPTIONS, time_budget=20.0, preset="70")
    assert (options.most_steps, replace(options, preset="fast").most_steps) == (70, math.inf)
    run = replace(prepare(clip, tmp_path / "a.inr", options), step_seconds=0.001)
    fitter = Fitter(run.problem, clip)
    assert run.with_step_count(fitter, 20.0, time.monotonic(), options.most_steps).config.steps == 70
    tight = replace(run, workdir=Workdir(tmp_path / "b", run.key), step_seconds=0.18)
    assert tight.with_step_count(fitter, 20.0, time.monotonic(), options.most_steps).config.steps < 70


def test_a_time_budget_has_a_last_call():
    assert fit_deadline(None) == float("inf")
    assert 280 < fit_deadline(300) < 290
    interrupts = Interrupts()
    assert interrupts.wish_by(time.monotonic() + 60) is StopRequest.NOTHING
    assert interrupts.wish_by(time.monotonic() - 1) is StopRequest.FINISH
    interrupts.preempted = True
    assert interrupts.wish_by(time.monotonic() - 1) is StopRequest.LEAVE


def test_a_state_at_its_last_step_is_a_result(problem: Problem, clip: Video):
    """As after a kill between the last step and the file's name."""
    store = Memory(at=STEPS)
    whole = encode(fit(Fitter(problem, clip), store, save_seconds=0).model)
    again = fit(Fitter(problem, clip), store)
    assert encode(again.model) == whole
    assert abs(again.estimated_bits - 8 * len(whole)) <= 0.01 * 8 * len(whole) + 8 * 64

"""train/fit: the steps of a fit, their batches and schedule, and the agreement of the fitted network with the decoder's."""

import struct
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_fits import STEPS, saved_by_choice, short_plan

from codec.coding import best_coding
from codec.decoder import decode
from codec.encoder import encode
from inr.errors import VerifyError
from inr.layout import tensor_specs
from inr.video import Video
from train.encode.verified_file import check_same, write_verified
from train.fit import step as step_module
from train.fit.batches import batch_indices, consecutive_indices
from train.fit.loop import fit
from train.fit.progress import Progress
from train.fit.qat import quantized
from train.fit.schedule import Rounding
from train.fit.step import make_advance
from train.fit.tensorboard import TensorBoardLog, bits_by_part
from train.plan.encode_plan import EncodePlan


@pytest.fixture(scope="module")
def plan(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    return short_plan(clip, tmp_path_factory.mktemp("plan"))


# The fit


def test_the_loss_falls_and_its_rate_is_the_files(plan: EncodePlan, clip: Video):
    seen = []
    fitted = fit(plan.fitter(clip), watch=seen.append)
    assert fitted.steps == STEPS
    assert [progress.step for progress in seen] == list(range(16, STEPS + 1, 16))
    assert seen[-1].psnr > seen[0].psnr + 3
    bits = 8 * len(encode(fitted.model))
    assert abs(fitted.estimated_bits - saved_by_choice(fitted.model) - bits) <= 0.01 * bits + 8 * 64
    assert abs(seen[-1].bpp * clip.pixels - fitted.estimated_bits) < 1
    check_same(decode(encode(fitted.model)), fitted.model)


def test_the_network_in_training_is_the_decoders(plan: EncodePlan, clip: Video):
    """At hard rounding the loss sees the very tensors that the file holds."""
    fitter, layout = plan.fitter(clip), plan.problem.layout
    fitter.run_steps(16, 0.9, 0.001)
    at_end = (jnp.float32(1), jnp.bool_(True), jnp.float32(0.2), jnp.float32(0.2), jnp.bool_(True))
    parameters, hard = fitter.state.parameters, Rounding(jnp.float32(0), *at_end)
    weights = quantized(layout, parameters.weights, parameters.exponents, jax.random.key(0), hard).weights
    decoded = decode(encode(fitter.model())).tensors()
    assert all(np.array_equal(value, decoded[name]) for name, value in layout.unpack(weights).items())


def test_a_loop_in_one_dispatch_takes_the_same_steps(plan: EncodePlan, clip: Video):
    """The loop of accelerators against that of CPUs."""
    problem, schedule = plan.problem, plan.problem.step_schedule(0.2, 0.01)
    one, many = plan.fitter(clip), plan.fitter(clip)
    one_state, one_metrics = make_advance(problem.compiled)(one.state, one.sources, schedule, 3, False)
    many_state, many_metrics = step_module._in_one_dispatch(step_module.step_of(problem.compiled))(
        many.state, many.sources, schedule, 3, False
    )
    np.testing.assert_allclose(one_metrics.mse, many_metrics.mse, rtol=1e-3)
    np.testing.assert_allclose(one_state.parameters.weights, many_state.parameters.weights, atol=2e-3)
    assert int(one_state.step) == int(many_state.step) == 3


def test_long_fits_take_shorter_steps(plan: EncodePlan, clip: Video):
    """Beyond a number of steps, a fit of four times as many moves weights by 4 ** 0.75 times less in a step."""

    def moved(steps: int) -> np.ndarray:
        fitter = replace(plan, problem=plan.problem.with_steps(steps)).fitter(clip)
        before = np.asarray(fitter.state.parameters.weights)
        fitter.run_steps(1, 0.5, 0.0)
        return np.abs(np.asarray(fitter.state.parameters.weights) - before)

    decay = plan.problem.config.lr_decay_after_steps
    whole, quarter = moved(decay), moved(4 * decay)
    assert whole.max() > 0
    np.testing.assert_array_equal(whole, moved(100))
    np.testing.assert_allclose(quarter, whole / 4**0.75, atol=1e-6)


def test_an_embedder_makes_the_embeddings_and_then_leaves(clip: Video, tmp_path: Path):
    plan = short_plan(clip, tmp_path, model="hnerv", preset="40")
    plan = replace(plan, problem=replace(plan.problem, config=replace(plan.problem.config, embedder_until=0.5)))
    fitter, layout = plan.fitter(clip), plan.problem.layout
    before = layout.unpack(fitter.state.parameters.weights)["embedding"]
    fitter.run_steps(3, 0.0, 0.0)
    made = layout.unpack(fitter.state.parameters.weights)["embedding"]
    assert (jnp.abs(made - before).max(axis=(1, 2, 3)) > 0).all()  # three steps of two frames: the embeddings of all six were made
    embedder = fitter.state.parameters.embedder
    fitted = fit(fitter)
    assert fitted.steps == 40
    after = fitted.state.parameters.embedder
    assert any(not np.array_equal(after[name], embedder[name]) for name in embedder)
    check_same(decode(encode(fitted.model)), fitted.model)


# Batches


def test_every_frame_is_seen_once_an_epoch():
    key = jax.random.key(3)
    seen = jnp.concatenate([batch_indices(key, jnp.int32(step), 2, 6) for step in range(6)])
    assert sorted(seen[:6].tolist()) == sorted(seen[6:12].tolist()) == list(range(6))
    assert seen[:6].tolist() != seen[6:12].tolist()


def test_batches_of_consecutive_frames_cover_all_frames_evenly():
    draw = jax.jit(lambda step: consecutive_indices(jax.random.key(0), step, 3, 7))
    batches = np.stack([draw(jnp.int32(step)) for step in range(90)])
    assert (np.diff(batches, axis=1) == 1).all()
    assert (batches.min(), batches.max()) == (0, 6)
    counts = np.bincount(batches.ravel(), minlength=7)
    assert counts.min() > 0.6 * counts.mean()


# The log, and the file


def test_tensorboard_shows_bits_by_part(plan: EncodePlan, clip: Video):
    fitter = plan.fitter(clip)
    tensors = fitter.own(fitter.model())
    parts = bits_by_part(tensor_specs(plan.problem.spec, plan.problem.video), tensors)
    assert set(parts) == {"embedding", "stem", "blocks", "canvas", "head"}
    assert sum(parts.values()) == pytest.approx(sum(best_coding(tensor.symbols).bits for tensor in tensors.values()))


def test_a_tensorboard_log_holds_scalars_and_a_picture(plan: EncodePlan, clip: Video, tmp_path: Path):
    """Scalars of the first progress and of the last; nothing of one that follows at once."""
    fitter = plan.fitter(clip)
    log = TensorBoardLog(tmp_path, clip, fitter)
    for step, seconds in ((16, 1.0), (32, 1.1), (96, 1.2)):
        log(Progress(step, 96, 20.0, 1.5, seconds, fitter.state))
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    found = events.read_bytes()
    assert found.count(b"psnr_rgb") == found.count(b"estimated_bpp") == 2
    assert found.count(b"original_fitted_difference") == found.count(b"bpp/canvas") == 2
    assert struct.pack("<f", 20.0) in found


def test_a_file_that_decodes_to_another_model_is_never_written(plan: EncodePlan, clip: Video, tmp_path: Path):
    fitter = plan.fitter(clip)
    first = fitter.model()
    fitter.run_steps(16, 0.9, 0.0)
    second, target = fitter.model(), tmp_path / "a.inr"
    for data in (encode(first), encode(second)[:-9]):
        with pytest.raises(VerifyError):
            write_verified(data, second, target)
    assert not list(tmp_path.iterdir())
    frames = write_verified(encode(second), second, target)
    assert target.read_bytes() == encode(second)
    assert np.array_equal(frames, second.render())

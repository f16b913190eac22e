"""What a fitted network is also good for: painting over what a mask hides, frames between frames; and what makes models themselves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.evaluation import mean_psnr
from inr.errors import InputError, UsageError
from inr.reading import read_video
from inr.rendering import render
from inr.spec import VideoSpec
from inr.time_interpolation import at
from inr.video import Video
from inr.writing import write_video
from train.fit.batches import run_indices
from train.encode.run import EncodeOptions, counted_of, prepare
from train.fit.loop import Fitter, fit
from train.fit.loss import mean_squared_error
from train.plan.presets import plan
from train.fit.step import Problem
from train.fit.target import RateTarget


def fitted(clip: Video, model: str, steps: int, **changes: object):
    """A fitter after a short fit, and its model."""
    video = VideoSpec.of(clip)
    spec, config = plan(video, 2.0, "fast", model, 0)
    fitter = Fitter(Problem(spec, video, replace(config, steps=steps, **changes)), clip)
    return fitter, fit(fitter).model


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask with a white box."""
    mask = np.zeros((1, 32, 48, 3), np.uint8)
    mask[:, 8:16, 20:36] = 255
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    write_video(Video(mask), str(path))
    return path


def test_what_a_mask_hides_does_not_count(clip: Video, holed: Path):
    """Two sources that differ only there give the same network."""
    counted = counted_of(read_video(holed).frames, clip)
    assert counted.shape == (*clip.frames.shape[:3], 1)
    other = clip.frames.copy()
    other[:, 8:16, 20:36] = 255 - other[:, 8:16, 20:36]
    video = VideoSpec.of(clip)
    spec, config = plan(video, 2.0, "fast", "cam", 0)
    models = [fit(Fitter(Problem(spec, video, replace(config, steps=30)), Video(f), counted=counted)).model for f in (clip.frames, other)]
    ours, theirs = (model.tensors() for model in models)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_masked_error_is_the_mean_of_what_counts():
    frames = np.zeros((1, 2, 2, 4), np.uint8)
    frames[..., 3] = [[255, 255], [255, 0]]
    output = jnp.zeros((1, 2, 2, 3)).at[0, 0, 0].set(0.5).at[0, 1, 1].set(1.0)
    assert float(mean_squared_error(output, jnp.asarray(frames))) == pytest.approx(0.25 / 3)
    assert float(mean_squared_error(output, jnp.asarray(frames[..., :3]))) == pytest.approx((0.25 + 1) / 4)


def test_a_mask_that_does_not_fit_is_refused(clip: Video, holed: Path, tmp_path: Path):
    with pytest.raises(InputError, match="the mask is 48x32"):
        counted_of(read_video(holed).frames, moving_square(6, 16, 16))
    write_video(Video(np.full((1, 32, 48, 3), 255, np.uint8)), str(tmp_path / "white.png"))
    with pytest.raises(InputError, match="white all over"):
        counted_of(read_video(tmp_path / "white.png").frames, clip)
    with pytest.raises(UsageError, match="--target-psnr"):
        prepare(clip, tmp_path / "a.inr", EncodeOptions(target=RateTarget(target_psnr=30), mask=holed))


def test_tables_are_read_between_their_entries():
    table = jnp.array([[0.0, 1.0], [2.0, 5.0], [4.0, 5.0]])
    assert at(table, jnp.array([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert at(table, jnp.array([0.5, 1.0, 2.0, 2.7])).tolist() == [[1, 3], [2, 5], [4, 5], [4, 5]]


@pytest.mark.parametrize("model", ["cam", "nerv", "ffnerv", "nirvana"])
def test_frames_between_frames_lie_between_them(clip: Video, model: str):
    """At whole times the frames themselves; a little later nearly these, and not."""
    _, found = fitted(clip, model, 60)
    frames = found.render()
    again = found.render(np.arange(5) + 0.00001)
    assert np.abs(again.astype(int) - frames[:5]).max() <= 2
    assert not np.array_equal(found.render([2.5])[0], frames[2])


def test_decoding_at_another_rate(clip_file: Path, encoded: tuple[Path, Outcome], tmp_path: Path, inr: Callable[..., Outcome]):
    target, _ = encoded
    outcome = inr("decode", target, tmp_path / "a.npy", "--fps", 50, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.last["frames"], outcome.last["fps"]) == (11, 50)
    assert inr("decode", target, tmp_path / "b.npy").code == 0
    assert np.abs(np.load(tmp_path / "a.npy")[::2].astype(int) - np.load(tmp_path / "b.npy")).max() <= 1
    assert inr("decode", target, tmp_path / "c.npy", "--fps", 0).code == 2


def test_a_mask_at_the_shell(clip_file: Path, holed: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    options = ["--mask", holed, "--target-bpp", "1.5", "--time-budget", "15s", "--json"]
    outcome = inr("encode", clip_file, tmp_path / "a.inr", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.last["bpp"] <= 1.5


def test_runs_of_frames_cover_all_of_them():
    key = jax.random.key(0)
    runs = np.stack([run_indices(key, jnp.int32(step), 3, 7) for step in range(90)])
    assert (np.diff(runs, axis=1) == 1).all()
    assert runs.min() == 0
    assert runs.max() == 6
    counts = np.bincount(runs.ravel(), minlength=7)
    assert counts.min() > 0.6 * counts.mean()


def test_ffnerv_uses_its_flow():
    """Made to look straight ahead, or nowhere, its pictures get worse."""
    clip = moving_square(8)
    fitter, found = fitted(clip, "ffnerv", 500, learning_rate=8e-3)
    spec, video, tensors = fitter.problem.spec, fitter.problem.video, found.tensors()
    look = "neighbours.predict.kernel"
    assert np.abs(tensors[look]).max() > 0
    straight = tensors[look].copy()
    straight[..., : 2 * len(spec.neighbours.offsets)] = 0
    alone = dict(tensors) | {"neighbours.predict.bias": tensors["neighbours.predict.bias"] + np.eye(13, dtype=np.float32)[-1] * 50}
    ours = mean_psnr(render(spec, video, tensors), clip.frames)
    bias = tensors["neighbours.predict.bias"].copy()
    bias[: 2 * len(spec.neighbours.offsets)] = 0
    without_flow = mean_psnr(render(spec, video, tensors | {look: straight, "neighbours.predict.bias": bias}), clip.frames)
    without_neighbours = mean_psnr(render(spec, video, alone), clip.frames)
    assert ours > without_flow + 0.05
    assert ours > without_neighbours + 0.05


@pytest.mark.parametrize("bits", [3, 5])
def test_uniform_steps_span_a_tensor(clip: Video, bits: int):
    _, found = fitted(clip, "nerv+cam", 30, uniform_bits=bits)
    largest = [int(np.abs(tensor.symbols).max()) for tensor in found.layers[0].tensors.values() if tensor.symbols.any()]
    top = 2 ** (bits - 1) - 1
    assert max(largest) <= top
    assert max(largest) >= top - 1

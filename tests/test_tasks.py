"""Further uses of a fitted network: masked pixels are painted over, and frames between frames are rendered."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square
from short_fits import short_plan

from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel, QuantizedTensor, single_video
from inr.errors import InputError, UsageError
from inr.layout import tensor_specs
from inr.reading import read_video
from inr.rendering import render
from inr.spec import VideoSpec
from inr.time_interpolation import interpolate_time
from inr.video import Video
from inr.writing import write_video
from train.fit.loop import fit
from train.fit.loss import mean_squared_error
from train.plan.encode_plan import make_plan, weights_of_mask
from train.plan.options import encode_options
from train.plan.presets import plan

HIDDEN = np.s_[:, 8:16, 20:36]  # the white box of the mask


@pytest.fixture(scope="module")
def mask_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask with a white box."""
    mask = np.zeros((1, 32, 48, 3), np.uint8)
    mask[HIDDEN] = 255
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    write_video(Video(mask), str(path))
    return path


# Masks


def test_masked_pixels_have_no_weight_in_a_fit(clip: Video, mask_file: Path, tmp_path: Path):
    """Two sources that differ only there give the same network."""
    pixel_weights = weights_of_mask(read_video(mask_file).frames, clip)
    assert pixel_weights.shape == (*clip.frames.shape[:3], 1)
    inverted = clip.frames.copy()
    inverted[HIDDEN] = 255 - inverted[HIDDEN]
    models = []
    for name, frames in (("clip", clip.frames), ("inverted", inverted)):
        video = Video(frames, name="same")
        models.append(fit(short_plan(video, tmp_path / name, pixel_weights, preset="32").fitter(video)).model)
    ours, theirs = (model.tensors() for model in models)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_masked_error_is_the_mean_over_pixels_with_weight():
    frames = np.zeros((1, 2, 2, 4), np.uint8)
    frames[..., 3] = [[255, 255], [255, 0]]
    output = jnp.zeros((1, 2, 2, 3)).at[0, 0, 0].set(0.5).at[0, 1, 1].set(1.0)
    assert float(mean_squared_error(output, jnp.asarray(frames))) == pytest.approx(0.25 / 3)
    assert float(mean_squared_error(output, jnp.asarray(frames[..., :3]))) == pytest.approx((0.25 + 1) / 4)


def test_a_mask_that_does_not_fit_is_refused(clip: Video, mask_file: Path, tmp_path: Path):
    with pytest.raises(InputError) as raised:
        weights_of_mask(read_video(mask_file).frames, moving_square(6, 16, 16))
    assert raised.value.identifier == "mask-size"
    with pytest.raises(InputError) as raised:
        weights_of_mask(np.full((1, 32, 48, 3), 255, np.uint8), clip)
    assert raised.value.identifier == "mask-full"
    with pytest.raises(UsageError) as raised:
        make_plan(clip, tmp_path / "a.inr", encode_options(target_psnr=30, mask=mask_file))
    assert raised.value.identifier == "mask-psnr"


def test_a_mask_is_taken_at_the_shell(clip: Video, clip_file: Path, mask_file: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    """And is part of the run: without it the file is another one."""
    command = ("encode", clip_file, tmp_path / "a.inr", "--target-bpp", "2", "--preset", "96", "--json")
    outcome = inr(*command, "--mask", mask_file)
    assert outcome.code == 0, outcome.err
    assert outcome.last["bpp"] <= 2
    assert inr(*command, "--mask", mask_file).last["up_to_date"]
    assert inr(*command).last["id"] == "output-exists"


# Frames between frames


def test_tables_are_read_between_their_entries():
    table = jnp.array([[0.0, 1.0], [2.0, 5.0], [4.0, 5.0]])
    assert interpolate_time(table, jnp.array([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert interpolate_time(table, jnp.array([0.5, 1.0, 2.0, 2.7])).tolist() == [[1, 3], [2, 5], [4, 5], [4, 5]]


def random_model(video: VideoSpec, model: str) -> QuantizedModel:
    """A model of a network all parts of which act: no symbol is always zero."""
    spec, _ = plan(video, 2.0, encode_options(model=model).fit)
    generator = np.random.default_rng(0)
    tensors = {}
    for tensor in tensor_specs(spec, video):
        fan_in = np.prod(tensor.shape[:-1]) if tensor.positions else 10
        symbols = generator.integers(-5, 6, tensor.shape).astype(np.int32)
        tensors[tensor.name] = QuantizedTensor(symbols, round(-8 * np.log2(3 * fan_in**0.5)))
    return single_video(spec, video, tensors)


@pytest.mark.parametrize("model", ["cam", "nerv", "ffnerv", "nirvana"])
def test_frames_between_frames_lie_between_them(model: str):
    """At whole times they are the frames themselves, a little later nearly these, and half-way neither of both."""
    found = random_model(VideoSpec(48, 32, 6), model)
    frames = found.render()
    assert np.ptp(frames.astype(int), axis=0).max() > 20
    assert np.abs(found.render([2.0, 3.0]).astype(int) - frames[[2, 3]]).max() <= 1
    assert np.abs(found.render(np.arange(5) + 0.00001).astype(int) - frames[:5]).max() <= 2
    between = found.render([2.5])[0].astype(int)
    assert min(np.abs(between - frames[at]).max() for at in (2, 3)) > 10


def test_a_file_is_decoded_at_another_rate(tmp_path: Path, inr: Callable[..., Outcome]):
    """Six frames at 25 frames per second last as long as eleven at 50; every second one of these is a frame of the file."""
    target = tmp_path / "a.inr"
    target.write_bytes(encode(random_model(VideoSpec(48, 32, 6), "cam")))
    outcome = inr("decode", target, tmp_path / "a.npy", "--fps", 50, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.last["frames"], outcome.last["fps"]) == (11, 50)
    assert inr("decode", target, tmp_path / "b.npy").code == 0
    assert np.abs(np.load(tmp_path / "a.npy")[::2].astype(int) - np.load(tmp_path / "b.npy")).max() <= 1
    assert inr("decode", target, tmp_path / "c.npy", "--fps", 0).code == 2


# Neighbours


def test_ffnerv_uses_its_flows_and_its_neighbours(tmp_path: Path):
    """Without the flows, or without the neighbours altogether, its pictures are worse."""
    clip = moving_square(8)
    found = fit(short_plan(clip, tmp_path, model="ffnerv", preset="300").fitter(clip)).model
    spec, video, tensors = found.spec, found.videos[0].spec, found.tensors()
    offsets = len(spec.neighbours.offsets)
    kernel, bias = tensors["neighbours.predict.kernel"].copy(), tensors["neighbours.predict.bias"].copy()
    kernel[..., : 2 * offsets], bias[: 2 * offsets] = 0, 0
    straight = {"neighbours.predict.kernel": kernel, "neighbours.predict.bias": bias}
    own = {"neighbours.predict.bias": tensors["neighbours.predict.bias"] + 50 * np.eye(3 * offsets + 1, dtype=np.float32)[-1]}
    ours, without_flows, without_neighbours = (
        mean_psnr(render(spec, video, tensors | change), clip.frames) for change in ({}, straight, own)
    )
    assert ours > without_flows + 0.05
    assert ours > without_neighbours + 0.05

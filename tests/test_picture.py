"""Pictures: the network of a single frame, and the fit of its grids, whose symbols a context model predicts."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codec.bitstream import BitstreamError
from codec.coding import codings
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.fields import checked_specs
from codec.model import QuantizedModel
from codec.spec_fields import read_spec, write_spec
from inr.errors import UsageError
from inr.layout import tensor_specs
from inr.network import apply_network, initial_tensors
from inr.picture import filtered
from inr.spec import BlockSpec, ContextSpec, NetworkSpec, Pyramid, VideoSpec
from inr.video import Video
from train.encode.run import encode_video
from train.fit.config import FitConfig
from train.fit.context_rate import CHUNK, Model, predict_in_chunks
from train.fit.fitter import Fitter
from train.fit.loop import fit
from train.fit.problem import Problem
from train.fit.rdoq import fit_under_cap
from train.plan.network_size import modulated_spec
from train.plan.options import encode_options
from train.plan.picture import picture_config, picture_spec, picture_values
from train.plan.presets import config_of

STEPS = 128


def painted(height: int, width: int) -> Video:
    """A picture of smooth colours with an edge."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    levels = np.stack([np.sin(9 * x) * y, np.cos(7 * y), x * y], axis=-1) / 2 + 0.5 + 0.3 * (x > 0.4)[..., None]
    return Video(np.clip(levels * 255, 0, 255).astype(np.uint8)[None], name="painted")


def fitted_picture(video: Video, steps: int = STEPS) -> Fitter:
    described = VideoSpec.of(video)
    config = replace(picture_config(FitConfig(steps), 0.5), rate_weight=1e-3)
    fitter = Fitter(Problem(picture_spec(described, 0.5), described, config), video, initial_values=picture_values(video.frames))
    fit(fitter)
    return fitter


@pytest.fixture(scope="module")
def picture() -> Fitter:
    return fitted_picture(painted(40, 56))


def test_the_estimate_of_the_last_step_is_the_size_of_the_symbols(picture: Fitter):
    model = picture.model()
    coded = codings(tensor_specs(picture.problem.spec, picture.problem.video), picture.own(model))
    grids = sum(coding.bits for name, coding in coded.items() if name.startswith("grids."))
    assert grids > 1000
    assert picture.last_bits is not None
    assert abs(picture.last_bits - picture.symbol_bits(model)) < 0.005 * picture.last_bits + 8


def test_a_fitted_picture_comes_back_from_its_file_and_resembles_the_source(picture: Fitter):
    model = picture.model()
    decoded = decode(encode(model))
    assert all(np.array_equal(tensor.symbols, decoded.videos[0].tensors[name].symbols) for name, tensor in model.videos[0].tensors.items())
    assert mean_psnr(decoded.render(), painted(40, 56).frames) > 24


def test_grids_change_no_more_once_they_are_rounded_exactly(picture: Fitter):
    before = {name: np.asarray(grid).copy() for name, grid in picture.state.parameters.grids.items()}
    picture.run_steps(2, 0.95, 0.01)
    assert all(np.array_equal(before[name], grid) for name, grid in picture.state.parameters.grids.items())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (33, 2)])
def test_a_picture_of_any_size_can_be_fitted(height: int, width: int):
    model = fitted_picture(painted(height, width), 4).model()
    assert decode(encode(model)).render().shape == (1, height, width, 3)


@pytest.mark.parametrize("kind", ["black", "white", "bright", "noise"])
def test_no_picture_collapses(kind: str):
    noise = np.random.default_rng(0).integers(0, 256, (1, 24, 32, 3))
    frames = {"black": np.zeros_like(noise), "white": np.full_like(noise, 255), "bright": 235 + noise // 13, "noise": noise}[kind]
    video = Video(frames.astype(np.uint8))
    mean = np.broadcast_to(np.rint(video.frames.mean(axis=(0, 1, 2))).astype(np.uint8), video.frames.shape)
    decoded = decode(encode(fitted_picture(video).model())).render()
    assert mean_psnr(decoded, video.frames) > min(mean_psnr(mean, video.frames), 50) - 1


def test_a_picture_under_a_cap(tmp_path: Path):
    encoded = encode_video(painted(40, 56), tmp_path / "a.inr", encode_options(target_size="700B", preset=str(STEPS)))
    assert encoded is not None
    assert encoded.report.psnr_rgb > 20
    assert (tmp_path / "a.inr").stat().st_size <= 700


# The network


def test_the_gradient_of_the_filter_is_that_of_the_plain_sum():
    generator = np.random.default_rng(1)
    kernel = jnp.asarray(generator.normal(size=(3, 3, 3)), jnp.float32)
    x = jnp.asarray(generator.normal(size=(3, 13, 21)), jnp.float32)

    def plain(kernel, x):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
        shifts = [(dy, dx) for dy in range(3) for dx in range(3)]
        return sum(kernel[dy, dx][:, None, None] * padded[:, dy : dy + 13, dx : dx + 21] for dy, dx in shifts)

    def gradients(function):
        return jax.grad(lambda kernel, x: jnp.sum(jnp.sin(function(kernel, x))), (0, 1))(kernel, x)

    for own, expected in zip(gradients(filtered), gradients(plain), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-4)


def test_grids_of_zeros_give_the_mean_colour():
    video, spec = VideoSpec(13, 9, 1), NetworkSpec(Pyramid(3, ContextSpec(8, 2, 2)), 8, (), 3, 2)
    tensors = initial_tensors(spec, video, 0) | {"paint.bias": np.array([0.2, 0.4, 0.6], np.float32)}
    rendered = apply_network(spec, video, tensors, jnp.arange(1))
    np.testing.assert_allclose(rendered, np.broadcast_to([0.2, 0.4, 0.6], (1, 9, 13, 3)), atol=1e-6)


def test_chunks_predict_the_same_as_the_whole():
    generator = np.random.default_rng(2)

    def array(*shape: int):
        return jnp.asarray(generator.normal(size=shape), jnp.float32)

    model = Model(((array(4, 4), array(4, 1)),), array(2, 4), array(2, 4), array(2, 1))
    contexts, exact = array(4, 2 * CHUNK + 5), jnp.bool_(False)

    def value(predict):
        return jax.value_and_grad(lambda model, contexts: jnp.mean(jnp.square(predict(model, contexts))), (0, 1))(model, contexts)

    whole = value(lambda model, contexts: model.predict(contexts, exact))
    parts = value(lambda model, contexts: predict_in_chunks(model, contexts, exact))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), whole, parts)


# The spec in a file


def test_a_picture_has_one_frame():
    with pytest.raises(BitstreamError, match="one frame"):
        checked_specs(picture_spec(VideoSpec(8, 8, 1), 1.0), VideoSpec(8, 8, 2))


@pytest.mark.parametrize("changes", [{"blocks": (BlockSpec(4, 2, 3),)}, {"norm": True}, {"head_stride": 1}, {"opponent": True}])
def test_a_picture_with_parts_of_other_networks_is_refused(changes: dict):
    spec = picture_spec(VideoSpec(8, 8, 1), 1.0)
    assert read_spec(write_spec(spec)) == spec
    with pytest.raises(BitstreamError, match="picture"):
        read_spec(write_spec(replace(spec, **changes)))


def test_a_cap_holds_even_without_time_for_extra_steps(picture: Fitter):
    model = picture.model()

    def size(model: QuantizedModel) -> int:
        return len(encode(model))

    source = np.asarray(picture.sources.video)
    found = fit_under_cap(picture, model, size, size(model) - 40)
    assert found is not None
    assert size(found) <= size(model) - 40
    assert mean_psnr(found.render(), source) > 18  # of 31 before: an edge of the painted picture is lost
    assert np.array_equal(found.layers[0].tensors["paint.kernel"].symbols, model.layers[0].tensors["paint.kernel"].symbols)
    assert fit_under_cap(picture, model, size, 50) is None


# Bundles, whose network is that of their first video


def test_the_config_follows_the_network_of_the_bundle():
    still, options = VideoSpec(40, 56, 1), encode_options(preset="64").fit
    video = modulated_spec(replace(still, frames=8), 1.0)
    assert config_of(video, still, 1.0, options).initial_bits == FitConfig(64).initial_bits
    assert config_of(picture_spec(still, 1.0), still, 1.0, options).weights_from > 0


def test_a_bundle_of_pictures_takes_no_video():
    options = encode_options(preset="64").fit
    with pytest.raises(UsageError, match="8 frames"):
        config_of(picture_spec(VideoSpec(40, 56, 1), 1.0), VideoSpec(40, 56, 8, name="clip"), 1.0, options)

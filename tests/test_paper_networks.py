"""train/plan/paper_networks.py and the networks of inr/: the papers' sizes, and the parts that make each network its own."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import moving_square

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.encoder import encode
from codec.spec_fields import read_spec, write_spec
from inr.cost import macs_per_pixel
from inr.errors import UsageError
from inr.fourier_features import frequency_vectors
from inr.layout import layer_specs, tensor_shapes, tensor_specs, weights
from inr.nerv import position_code
from inr.network import bind, initial_tensors
from inr.nirvana import frame_code, patch_centres
from inr.rendering import render
from inr.spec import BlockSpec, FourierFeatures, NeighboursSpec, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec
from inr.tensor_spec import TimeAxis
from inr.video import Video
from train.encode.run import encode_video
from train.plan.encode_plan import make_plan, zero_model
from train.plan.options import CANVAS_MODELS, MODELS, PICTURE_MODELS, FitOptions, Model, encode_options
from train.plan.paper_networks import (
    ffnerv,
    ffnerv_spec,
    fourier_feature_spec,
    largest,
    nerv,
    nerv_plus_plus_spec,
    nerv_spec,
    nirvana_spec,
    siren_spec,
)
from train.plan.presets import plan

HD, BUNNY = VideoSpec(1280, 720, 132), VideoSpec(320, 160, 32)
SMALL = VideoSpec(44, 28, 5, name="small")
FAMILY = {
    "nerv": NetworkSpec(Positions(6, 5), 4, (BlockSpec(6, 2, 3), BlockSpec(4, 2, 3)), 1, 2, bounded=True),
    "nerv, no hidden layer": NetworkSpec(Positions(6, 0), 4, (BlockSpec(6, 2, 3),), 1, 2),
    "nerv++": NetworkSpec(Positions(6, 5), 4, (BlockSpec(6, 2, 3, separable=3, skip=True), BlockSpec(4, 2, 3, separable=5)), 1, 2),
    "ffnerv": NetworkSpec(
        TimeGrids((2, 4)), 4, (BlockSpec(8, 2, 3), BlockSpec(4, 2, 3, conv_groups=4)), 1, 1, neighbours=NeighboursSpec((-2, -1, 1), 0)
    ),
    "nirvana": NetworkSpec(Patches(8, 7, 3), 6, (BlockSpec(4, 2, 3),), 3, 2),
    "siren": NetworkSpec(Patches(1, 7, 3), 3, (), 1, 1),
    "ffn": NetworkSpec(FourierFeatures(4, 10), 8, (BlockSpec(6, 1, 1), BlockSpec(6, 1, 1)), 1, 1),
}


@pytest.fixture(params=FAMILY)
def spec(request: pytest.FixtureRequest) -> NetworkSpec:
    return FAMILY[request.param]


@pytest.mark.parametrize(("channels", "total"), [(26, 3_201_905), (58, 6_282_001), (112, 12_524_563)])
def test_nerv_counts_the_papers_parameters(channels: int, total: int):
    assert weights(nerv(HD, channels, 512, 96), HD) == total


def test_ffnerv_counts_the_papers_parameters():
    """12.41 million for 720p, of which 5.39 in grids; 11.31 for 1080p in compact blocks, of which 3.11 in grids."""
    # Without neighbours: the convolution that reads them is 3x3 here, unlike the paper's.
    dense = replace(ffnerv(HD, 156, (64, 128, 256, 512), 1, 96), neighbours=None)
    dense = replace(dense, blocks=tuple(replace(block, conv_groups=1) for block in dense.blocks))
    assert weights(dense, HD) == pytest.approx(12.41e6, abs=5e3)
    full = VideoSpec(1920, 1080, 600)
    compact = replace(ffnerv(full, 48, (300, 600), 8, 24), neighbours=None)
    assert weights(compact, full) == pytest.approx(11.31e6, abs=5e3)
    assert sum(tensor.size for tensor in tensor_specs(compact, full) if tensor.time_axis is TimeAxis.GRID) == 3_110_400


def test_a_spec_survives_its_bytes(spec: NetworkSpec):
    assert read_spec(write_spec(spec)) == spec
    modulated = replace(spec, norm=True, temporal_grid=3)
    assert read_spec(write_spec(modulated)) == modulated


@pytest.mark.parametrize("size", [(1, 1, 1), (44, 28, 5), (9, 33, 2)])
def test_any_size_renders_and_decodes(spec: NetworkSpec, size: tuple[int, int, int]):
    video = VideoSpec(*size)
    tensors = initial_tensors(spec, video, seed=2)
    assert render(spec, video, tensors).shape == (video.frames, video.height, video.width, 3)
    again = decode(encode(zero_model(spec, video)))
    assert {name: value.shape for name, value in again.tensors().items()} == tensor_shapes(spec, video)


def test_weight_layers_do_not_depend_on_the_video(spec: NetworkSpec):
    large = {tensor.name: tensor for tensor in tensor_specs(spec, VideoSpec(640, 320, 99)) if not tensor.private}
    shared = layer_specs(spec)
    assert [tensor.name for tensor in shared] == list(large)
    assert all(tensor.shape == large[tensor.name].shape for tensor in shared)


def test_a_frame_is_the_same_whichever_others_are_rendered_with_it(spec: NetworkSpec):
    tensors = initial_tensors(spec, SMALL, seed=3)
    together = render(spec, SMALL, tensors)
    assert (np.ptp(together.astype(int), axis=0).max() > 0) != isinstance(spec.frame_input, FourierFeatures)  # frames differ
    for order in ([4], [3, 0], [1, 2, 3]):
        assert np.abs(render(spec, SMALL, tensors, order).astype(int) - together[order]).max() <= 1


def test_macs_count_every_kernel_once_for_each_position():
    video = VideoSpec(32, 32, 2)
    perceptron, cells = 12 * 5 + 5 * 4 * 4 * 4, 4 * 4
    upsamplers = cells * (4 * 24 * 9 + 4 * 6 * 16 * 9 + 16 * 4 * 12)
    assert macs_per_pixel(FAMILY["nerv"], video) == pytest.approx((perceptron + upsamplers) / 32**2)
    residual = cells * (4 * (9 + 4) + 4 * 6 * (9 + 6) + 4 * 6 * (25 + 6) + 16 * 4 * (25 + 4))
    skip = cells * (4 * 6 + 4 * 24)
    assert macs_per_pixel(FAMILY["nerv++"], video) == pytest.approx((perceptron + upsamplers + residual + skip) / 32**2)


def test_positions_are_waves_of_growing_frequency():
    code = position_code(jnp.array([0.0, 0.5]), 3, 2.0)
    assert np.allclose(code[0], [0, 1, 0, 1, 0, 1])
    assert np.allclose(code[1], [1, 0, 0, -1, 0, 1], atol=1e-6)


def test_each_patch_has_a_centre_of_its_own():
    centres = patch_centres(VideoSpec(20, 9, 1), 8)
    assert centres.shape == (6, 2)
    assert np.allclose(centres[0], 2 * 3.5 / 19 - 1)
    assert np.allclose(centres[-1], [2 * 11.5 / 19 - 1, 2 * 19.5 / 19 - 1])
    assert len(np.unique(centres, axis=0)) == 6


def test_frame_codes_are_sines_then_cosines_of_the_frames_number():
    code = frame_code(jnp.arange(3), 5)
    assert code.shape == (3, 5)
    np.testing.assert_allclose(code[:, 0], np.sin([0, 1, 2]), atol=1e-6)
    np.testing.assert_allclose(code[:, 3], np.cos([0, 1, 2]), atol=1e-6)


def test_nirvanas_features_are_those_of_patches():
    """The features of a patch's cells are the perceptron's output at the patch's centre, plus the frame's code."""
    spec, video = FAMILY["nirvana"], VideoSpec(24, 16, 1)
    tensors = {name: jnp.asarray(value) for name, value in initial_tensors(spec, video, 0).items()}
    network = bind(spec, video)(tensors)
    features = network.input_features(jnp.array([0]), jnp.zeros(1))
    assert features.shape == (1, 4, 6, 6)
    alone = jnp.sin(jnp.asarray(patch_centres(video, 8)[4]) @ tensors["patch.0.kernel"] + tensors["patch.0.bias"])
    alone = jnp.sin(alone @ tensors["patch.1.kernel"] + tensors["patch.1.bias"])
    alone = (alone @ tensors["patch.2.kernel"] + tensors["patch.2.bias"]).reshape(2, 2, 6)
    assert np.allclose(features[0, 2:4, 2:4], alone + frame_code(jnp.array([0]), 6), atol=1e-5)


def rendered(spec: NetworkSpec, video: VideoSpec, tensors: dict[str, jnp.ndarray], first: int, consecutive: bool) -> np.ndarray:
    """Three frames from `first` on, float R'G'B'."""
    render_three = jax.jit(lambda tensors, first: bind(spec, video)(tensors)(first + jnp.arange(3), consecutive=consecutive))
    return np.asarray(render_three(tensors, first))


def test_a_flow_of_zero_is_the_identity():
    """A frame that takes only its next neighbour, displaced by nothing, is that neighbour's own picture, edges and all."""
    spec, video = replace(FAMILY["ffnerv"], neighbours=NeighboursSpec((1,), 0)), VideoSpec(16, 12, 3)
    tensors = {name: jnp.asarray(value) for name, value in initial_tensors(spec, video, 5).items()}
    tensors["neighbours.predict.bias"] = jnp.array([0.0, 0.0, 0.0, -40.0])
    own = np.asarray(jax.jit(lambda tensors: bind(spec, video)(tensors).render_own(jnp.arange(3), None)[0])(tensors))
    assert not np.allclose(own[0], own[1], atol=1e-3)
    for consecutive in (False, True):
        assert np.allclose(rendered(spec, video, tensors, 0, consecutive), own[[1, 2, 2]], atol=1e-6)


def test_consecutive_frames_read_the_same_neighbours():
    spec = FAMILY["ffnerv"]
    tensors = {name: jnp.asarray(value) for name, value in initial_tensors(spec, SMALL, 5).items()}
    shape = tensors["neighbours.predict.kernel"].shape
    tensors["neighbours.predict.kernel"] = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    for first in (0, 2):
        assert np.allclose(*(rendered(spec, SMALL, tensors, first, consecutive) for consecutive in (True, False)), atol=1e-4)


def test_the_largest_network_of_a_family_is_found():
    for make in (nerv_spec, nerv_plus_plus_spec, ffnerv_spec, nirvana_spec):
        size = 60_000
        assert 0.5 * size < weights(make(BUNNY, size), BUNNY) <= size
    assert largest(lambda unit: nerv(BUNNY, unit, unit, 1), BUNNY, 0).stem == 1


@pytest.mark.parametrize("model", [name for name in MODELS if name not in (*PICTURE_MODELS, *CANVAS_MODELS, "tree")])
def test_every_papers_network_can_be_modulated(model: str):
    plain, _ = plan(BUNNY, 0.1, FitOptions(model=Model(model)))
    modulated, _ = plan(BUNNY, 0.1, FitOptions(model=Model(model, modulated=True)))
    assert modulated == replace(plain, norm=True, temporal_grid=8)
    assert not plain.norm


# Coordinate networks


def test_coordinate_networks_have_the_papers_sizes():
    """COIN for Kodak at 0.3 bits per pixel has ten layers of 28 channels; the network of Fourier features has three of 256."""
    kodak, square = VideoSpec(768, 512, 1), VideoSpec(512, 512, 1)
    coin = 2 * 28 + 28 + 9 * (28 * 28 + 28) + 28 * 3 + 3
    spec = siren_spec(kodak, coin + 12)
    assert spec.frame_input == Patches(1, 28, 11)
    assert weights(spec, kodak) == coin + 12  # the head adds a matrix of 3 x 3 and a bias
    assert weights(fourier_feature_spec(square, 263_683, False), square) == 263_683
    modulated = fourier_feature_spec(square, 263_683 + 6 * 32 * 32, True)
    assert (modulated.blocks, modulated.spatial_grid, modulated.norm) == ((BlockSpec(256, 1, 1),) * 3, (32, 32), True)


def test_frequencies_are_spread_like_a_normal_distribution():
    vectors = frequency_vectors(FourierFeatures(2000, 10)) / np.pi  # in waves along a side of length 2
    assert np.abs(vectors.mean(axis=1)).max() < 0.1
    assert np.allclose(np.cov(vectors), 100 * np.eye(2), atol=3)


def test_fourier_features_are_waves_of_the_position():
    spec, video = NetworkSpec(FourierFeatures(3, 2), 6, (), 1, 1), VideoSpec(9, 5, 1)
    network = bind(spec, video)(initial_tensors(spec, video, 0))
    features = np.asarray(network.input_features(jnp.array([0]), jnp.zeros(1)))[0]
    assert features.shape == (5, 9, 6)
    for row, column in ((0, 0), (4, 8), (2, 5)):
        angles = np.array([2 * row / 8 - 1, 2 * column / 8 - 1]) @ frequency_vectors(FourierFeatures(3, 2))
        assert np.allclose(features[row, column], [*np.sin(angles), *np.cos(angles)], atol=1e-5)


def test_first_features_must_be_two_for_each_frequency():
    with pytest.raises(BitstreamError, match="first features"):
        read_spec(write_spec(replace(FAMILY["ffn"], stem=6)))


def test_a_coordinate_network_draws_one_picture(clip: Video, tmp_path: Path):
    with pytest.raises(UsageError, match="one picture"):
        make_plan(clip, tmp_path / "clip.inr", encode_options(model="siren"))
    with pytest.raises(UsageError, match="no blocks"):
        Model.parse("siren", modulated=True)


@pytest.mark.parametrize(("model", "least"), [("siren", 12), ("ffn+cam", 16)])
def test_a_coordinate_network_learns_a_picture(model: str, least: float, tmp_path: Path):
    video = moving_square(1, 40, 56)  # its mean colour has 10 dB
    encoded = encode_video(video, tmp_path / "square.inr", encode_options(model=model, preset="250", target_bpp=8.0))
    assert encoded is not None
    assert encoded.report.psnr_rgb > least
    assert encoded.report.bytes == (tmp_path / "square.inr").stat().st_size <= 40 * 56

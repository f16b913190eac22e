"""inr/: networks of any size, CAM, depth to space, rendering; and modules that agree with the layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from make_vectors import VECTORS
from test_canvas import apply_network

import inr.network
from inr.convolutions import convolution, depth_to_space
from inr.cost import macs_per_pixel
from inr.layout import layer_specs, tensor_shapes, tensor_specs
from inr.modulation import Modulation, normalise
from inr.network import bind, initial_tensors
from inr.pixels import grey, is_frames, to_unit
from inr.rendering import render, to_levels
from inr.spec import BlockSpec, Embeddings, NetworkSpec, VideoSpec
from inr.time_interpolation import interpolate_grid, interpolate_time
from train.plan.network_size import modulated_spec

SPEC = NetworkSpec(Embeddings(3), 4, (BlockSpec(4, 2, 1), BlockSpec(4, 2, 3)), 3, 2, norm=True, temporal_grid=3, spatial_grid=(2, 3))


# The layout


def test_names_and_order_are_pinned():
    tensors = tensor_specs(SPEC, VideoSpec(8, 8, 2))
    assert [tensor.name for tensor in tensors] == [
        "embedding", "stem.kernel", "stem.bias",
        "blocks.0.conv.kernel", "blocks.0.conv.bias", "blocks.0.modulation.scale", "blocks.0.modulation.shift",
        "blocks.0.modulation.spatial_scale", "blocks.0.modulation.spatial_shift",
        "blocks.1.conv.kernel", "blocks.1.conv.bias", "blocks.1.modulation.scale", "blocks.1.modulation.shift",
        "blocks.1.modulation.spatial_scale", "blocks.1.modulation.spatial_shift",
        "head.kernel", "head.bias",
    ]  # fmt: skip
    assert [tensor.name for tensor in tensors if not tensor.private] == [
        "stem.kernel", "stem.bias", "blocks.0.conv.kernel", "blocks.0.conv.bias", "blocks.1.conv.kernel", "blocks.1.conv.bias",
        "head.kernel", "head.bias",
    ]  # fmt: skip


def test_a_weight_layer_does_not_depend_on_the_video():
    shared = [tensor for tensor in tensor_specs(SPEC, VideoSpec(640, 320, 99)) if not tensor.private]
    assert [(tensor.name, tensor.shape) for tensor in layer_specs(SPEC)] == [(tensor.name, tensor.shape) for tensor in shared]


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_modules_hold_the_tensors_of_the_layout(name: str):
    """Every vector's network can be built; `bind` compares names and shapes, and refuses any difference."""
    inr.network._skeleton.cache_clear()
    bind(*VECTORS[name])


def renamed(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name.replace("head.bias", "head.offset"): shape for name, shape in shapes.items()}


def reshaped(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return shapes | {"head.bias": (1,)}


def shortened(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if name != "head.bias"}


def lengthened(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return shapes | {"tail.bias": (1,)}


@pytest.mark.parametrize("changed", [renamed, reshaped, shortened, lengthened])
def test_a_layout_that_differs_from_the_modules_is_refused(changed, monkeypatch: pytest.MonkeyPatch):
    inr.network._skeleton.cache_clear()
    monkeypatch.setattr(inr.network, "tensor_shapes", lambda spec, video: changed(tensor_shapes(spec, video)))
    with pytest.raises(ValueError, match="the layout says"):
        bind(SPEC, VideoSpec(8, 8, 2))


def test_macs_are_those_of_the_convolutions():
    video = VideoSpec(64, 64, 1)
    shapes = tensor_shapes(SPEC, video)
    cells = {"stem": 64, "blocks.0": 64, "blocks.1": 256, "head": 1024}
    total = sum(
        cells[name.split(".conv")[0].split(".kernel")[0]] * np.prod(shape) for name, shape in shapes.items() if name.endswith("kernel")
    )
    assert macs_per_pixel(SPEC, video) == pytest.approx(total / 64**2)


# Rendering


@pytest.mark.parametrize(("width", "height", "frames"), [(1, 1, 1), (1, 7, 2), (13, 9, 3), (33, 17, 1)])
def test_any_size_renders_to_its_true_size(width: int, height: int, frames: int):
    video = VideoSpec(width, height, frames)
    for spec in (SPEC, modulated_spec(video, 0.5)):
        pixels = render(spec, video, initial_tensors(spec, video, seed=0))
        assert pixels.shape == (frames, height, width, 3)
        assert pixels.dtype == np.uint8


def test_a_frame_is_the_same_in_any_order_and_company():
    video = VideoSpec(13, 9, 5)
    tensors = initial_tensors(SPEC, video, seed=1)
    together = render(SPEC, video, tensors)
    for order in ([4, 0], [2], [3, 3, 1, 0, 2, 4]):
        alone = render(SPEC, video, tensors, order)
        assert np.abs(alone.astype(int) - together[order]).max() <= 1
    assert render(SPEC, video, tensors, []).shape == (0, 9, 13, 3)


def test_padding_reaches_no_pixel():
    """A network that renders 9 rows renders the first 9 of the 16 that its padded frame has."""
    tensors = initial_tensors(SPEC, VideoSpec(16, 16, 1), seed=2)
    whole, cropped = (apply_network(SPEC, VideoSpec(w, h, 1), tensors, jnp.array([0])) for w, h in ((16, 16), (13, 9)))
    np.testing.assert_allclose(cropped, whole[:, :9, :13], rtol=1e-4, atol=1e-5)


def test_pixels_are_limited_and_rounded():
    assert to_levels(jnp.array([[[[-0.1, 0.5, 1.2]]]])).tolist() == [[[[0, 128, 255]]]]


def test_levels_and_floats_agree():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert is_frames(levels)
    assert not is_frames(levels[..., :2])
    assert not is_frames(levels.astype(np.float32))
    np.testing.assert_array_equal(to_levels(jnp.asarray(to_unit(levels))), levels)
    np.testing.assert_array_equal(grey(levels[0]), levels[0, ..., 0])


def test_the_network_is_a_pure_function():
    video = VideoSpec(8, 8, 2)
    tensors = {name: jnp.asarray(value) for name, value in initial_tensors(SPEC, video, seed=0).items()}
    gradient = jax.jit(jax.grad(lambda t: apply_network(SPEC, video, t, jnp.array([1])).sum()))(tensors)
    assert gradient.keys() == tensors.keys()
    assert float(jnp.abs(gradient["embedding"][0]).sum()) == 0  # frame 1 does not depend on frame 0's embedding
    assert float(jnp.abs(gradient["embedding"][1]).sum()) > 0


# Parts


def test_depth_to_space_places_channels_as_the_format_page_says():
    stride, width = 3, 2
    x = np.arange(2 * 4 * width * stride**2).reshape(1, 2, 4, -1)
    y = np.asarray(depth_to_space(jnp.asarray(x), stride))
    for r, c, dr, dc, k in [(0, 0, 0, 0, 0), (1, 3, 2, 1, 1), (0, 2, 1, 0, 1)]:
        assert y[0, r * stride + dr, c * stride + dc, k] == x[0, r, c, (dr * stride + dc) * width + k]


def test_grids_are_read_linearly_between_their_ends():
    grid = jnp.array([[0.0], [10.0], [30.0]])
    np.testing.assert_allclose(interpolate_grid(grid, jnp.array([0.0, 0.25, 0.5, 0.9, 1.0]))[:, 0], [0, 5, 10, 26, 30], atol=1e-5)
    assert interpolate_grid(jnp.array([[7.0]]), jnp.array([0.3]))[0, 0] == 7


def test_tables_are_read_at_a_frame_or_between_two():
    table = jnp.array([[0.0], [10.0], [30.0]])
    np.testing.assert_array_equal(interpolate_time(table, jnp.array([2, 0]))[:, 0], [30, 0])
    np.testing.assert_allclose(interpolate_time(table, jnp.array([1.5, 0.25, -1.0, 9.0]))[:, 0], [20, 2.5, 0, 30], atol=1e-5)


def test_modulation_normalises_then_scales_and_shifts():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (2, 6, 5, 4)), jnp.float32)
    plain = Modulation(4, True, 2, (0, 0))
    np.testing.assert_allclose(plain(x, jnp.array([0.0, 1.0])), normalise(x))
    np.testing.assert_allclose(np.asarray(normalise(x)).std(axis=(1, 2)), 1, rtol=1e-3)
    plain.scale[...] = jnp.array([[1.0] * 4, [3.0] * 4])
    plain.shift[...] = jnp.array([[0.0] * 4, [-2.0] * 4])
    out = plain(x, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(out[0], 2 * normalise(x)[0], rtol=1e-6)
    np.testing.assert_allclose(out[1], 4 * normalise(x)[1] - 2, rtol=1e-5, atol=1e-6)
    assert np.array_equal(normalise(x[:, :1, :1]), x[:, :1, :1])


def test_a_spatial_grid_shifts_the_places_that_it_covers():
    spatial = Modulation(2, False, 0, (2, 2))
    spatial.spatial_shift[...] = jnp.array([[0.0, 1.0], [0.0, 1.0]])
    out = spatial(jnp.zeros((1, 4, 8, 2)), jnp.zeros(1))
    assert out[0, 0, 0, 0] == 0
    assert out[0, 3, -1, 1] == 1
    assert (jnp.diff(out[0, 2, :, 0]) >= 0).all()


def test_conv_groups_connect_only_channels_of_one_group():
    """A frame's output in the second half of the channels does not change with the inputs of the first half."""
    conv = convolution(4, 6, 3, nnx.Rngs(0), jax.lax.conv_general_dilated, conv_groups=2)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 4)), jnp.float32)
    changed = conv(x.at[..., :2].add(1.0)) - conv(x)
    assert float(jnp.abs(changed[..., :3]).max()) > 0
    assert float(jnp.abs(changed[..., 3:]).max()) == 0

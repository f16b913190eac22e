"""inr/canvas.py and inr/warp.py: a still picture that is read through a flow, and its derivatives."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inr.network
import inr.warp
from inr.constants import BLEND_BIAS, FLOW_UNIT, HALF_SAMPLE_TAPS
from inr.layout import tensor_shapes, tensor_specs
from inr.network import bind, initial_tensors
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, VideoSpec

SPEC = NetworkSpec(
    Embeddings(3),
    4,
    (BlockSpec(4, 2, 1), BlockSpec(4, 2, 3)),
    3,
    2,
    norm=True,
    temporal_grid=3,
    canvas=CanvasSpec((1, 1), ((2, 3),), width=4),
)
VIDEO = VideoSpec(24, 16, 3)
apply_network = jax.jit(inr.network.apply_network, static_argnums=(0, 1))  # operations one by one are slow to compile
doubled, warp = jax.jit(inr.warp.doubled), jax.jit(inr.warp.warp, static_argnums=3)
PAINTING = ("canvas.grids.0", "canvas.grids.1", "canvas.mix.kernel", "canvas.paint.kernel")  # tensors that make a picture


@partial(jax.jit, static_argnums=(0, 1))
def canvas_picture(spec: NetworkSpec, video: VideoSpec, tensors: dict[str, jax.Array]) -> jax.Array | None:
    return bind(spec, video)(tensors).canvas_picture()


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def painted(video: VideoSpec) -> dict[str, np.ndarray]:
    """Tensors that are zero but for those that make the canvas's picture."""
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(SPEC, video).items()}
    return tensors | {name: np.asarray(drawn(*tensors[name].shape, seed=index)) for index, name in enumerate(PAINTING)}


def without_canvas(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("canvas.")}


# Reading a picture


def read_by_hand(picture: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Bilinear reading of one frame, pixel by pixel."""
    h, w, _ = picture.shape
    out = np.zeros_like(picture)
    for y, x in np.ndindex(h, w):
        v, u = np.clip(y + dy[y, x], 0, h - 1), np.clip(x + dx[y, x], 0, w - 1)
        top, left = int(v), int(u)
        below, right = min(top + 1, h - 1), min(left + 1, w - 1)
        upper = picture[top, left] * (1 - u + left) + picture[top, right] * (u - left)
        lower = picture[below, left] * (1 - u + left) + picture[below, right] * (u - left)
        out[y, x] = upper * (1 - v + top) + lower * (v - top)
    return out


def test_a_picture_is_read_bilinearly_and_beyond_it_its_edge():
    picture, dx, dy = drawn(5, 7, 3), 3 * drawn(2, 5, 7, seed=1), 3 * drawn(2, 5, 7, seed=2)
    read = warp(picture, dx, dy)
    for frame in range(2):
        expected = read_by_hand(np.asarray(picture), np.asarray(dx[frame]), np.asarray(dy[frame]))
        np.testing.assert_allclose(read[frame], expected, atol=1e-5)


def test_no_flow_is_the_identity():
    picture, still = drawn(6, 9, 3), jnp.zeros((2, 6, 9))
    np.testing.assert_array_equal(warp(picture, still, still), jnp.stack([picture, picture]))
    assert warp(picture[:1, :1], still[:1, :1, :1] + 5, still[:1, :1, :1]).shape == (1, 1, 1, 3)


def test_half_samples_are_filtered_along_rows_and_columns():
    """Between every two samples H.264's half sample, by hand; the samples themselves stay; edges are repeated."""
    picture = np.asarray(drawn(4, 3, 3))
    taps = np.array([1, -5, 20, 20, -5, 1]) / 32
    assert taps.tolist() == list(HALF_SAMPLE_TAPS)
    more = np.asarray(doubled(jnp.asarray(picture)))
    assert more.shape == (7, 5, 3)
    np.testing.assert_array_equal(more[::2, ::2], picture)
    edged = np.pad(picture, ((2, 3), (0, 0), (0, 0)), mode="edge")
    down = np.array([np.tensordot(taps, edged[y : y + 6], 1) for y in range(3)])
    np.testing.assert_allclose(more[1::2, ::2], down, atol=1e-6)
    edged = np.pad(more[:, ::2], ((0, 0), (2, 3), (0, 0)), mode="edge")
    across = np.stack([np.tensordot(edged[:, x : x + 6], taps, ((1,), (0,))) for x in range(2)], axis=1)
    np.testing.assert_allclose(more[:, 1::2], across, atol=1e-6)


def test_displacements_are_in_pixels_whatever_the_samples():
    """Read at whole pixels, twice the samples give the picture's own; half-way between them, the filtered ones."""
    picture, still = drawn(6, 9, 3), jnp.zeros((1, 6, 9))
    more = doubled(picture)
    np.testing.assert_array_equal(warp(more, still + 2, still - 1, 2), warp(picture, still + 2, still - 1))
    np.testing.assert_allclose(warp(more, still + 0.5, still, 2)[0, :, :-1], more[::2, 1::2], atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 2), (2, 1)])
def test_gradients_are_those_of_small_differences(samples: int, height: int, width: int):
    picture, dx, dy = drawn(height, width, 3), 0.3 + 0 * drawn(1, height, width), 0.6 + 0 * drawn(1, height, width)
    pull = drawn(1, height, width, 3, seed=3)

    @jax.jit
    def total(picture: jax.Array, *field: jax.Array) -> jax.Array:
        return jnp.sum(warp(doubled(picture) if samples == 2 else picture, *field, samples) * pull)

    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(picture, dx, dy)
    for at, gradient in enumerate(gradients):
        direction = drawn(*gradient.shape, seed=4)
        # Positions at the right and lower edge are limited to the picture: neither gradient nor difference there.
        direction = direction if at == 0 else direction.at[:, -1].set(0).at[:, :, -1].set(0)
        arguments = [picture, dx, dy]
        step = 1e-2
        ahead, behind = ([a + sign * step * direction if i == at else a for i, a in enumerate(arguments)] for sign in (1, -1))
        numerical = (total(*ahead) - total(*behind)) / (2 * step)
        assert float(jnp.sum(gradient * direction)) == pytest.approx(float(numerical), rel=2e-3, abs=2e-3)


def test_a_position_outside_the_picture_has_no_gradient():
    picture, dx, dy = drawn(5, 7, 3), jnp.zeros((1, 5, 7)) + 9, jnp.zeros((1, 5, 7)) - 9
    x, y = jax.grad(lambda *field: jnp.sum(warp(picture, *field) ** 2), argnums=(0, 1))(dx, dy)
    np.testing.assert_array_equal(x, 0)
    np.testing.assert_array_equal(y, 0)


# The canvas in a network


def test_a_blank_canvas_adds_the_same_to_every_frame():
    """With grids at zero and no flow, every frame gains the same still picture under an even blend."""
    tensors = initial_tensors(SPEC, VIDEO, seed=0)
    with_it = apply_network(SPEC, VIDEO, tensors, jnp.arange(3))
    without = apply_network(replace(SPEC, canvas=None), VIDEO, without_canvas(tensors), jnp.arange(3))
    added = with_it - without
    np.testing.assert_allclose(added[1], added[0], atol=1e-6)


def test_a_flow_moves_the_canvas():
    tensors = painted(VIDEO)
    # JAX computes in the background and may read a NumPy array where it lies, so the picture must be done before the flow changes.
    still = jax.block_until_ready(apply_network(SPEC, VIDEO, tensors, jnp.array([1]))[0])
    tensors["canvas.flows.0"][1, :, :, 0] = 4 / FLOW_UNIT
    moved = apply_network(SPEC, VIDEO, tensors, jnp.array([1]))[0]
    np.testing.assert_allclose(moved[:, :-4], still[:, 4:], atol=1e-5)
    assert float(jnp.abs(moved - still).max()) > 0.1


def test_a_canvas_reaches_beyond_the_frame():
    """Of a picture with margins a still frame sees the middle, and a displaced one sees part of the margins."""
    wide = replace(VIDEO, margins=(4, 2, 0, 6))
    tensors = painted(wide)
    assert tensors["canvas.grids.0"].shape == ((16 + 4) // 2, (24 + 2 + 6) // 2)
    tensors["canvas.flows.0"][1] = np.array([6, -4]) / FLOW_UNIT
    picture = canvas_picture(SPEC, wide, tensors)
    assert picture.shape == (20, 32, 3)
    still, moved = apply_network(SPEC, wide, tensors, jnp.arange(2))
    blend = 1 / (1 + np.exp(-BLEND_BIAS))
    np.testing.assert_allclose(still, 0.5 + blend * picture[4:, 2:26], atol=1e-5)
    np.testing.assert_allclose(moved, 0.5 + blend * picture[:16, 8:], atol=1e-5)


def test_flows_add_up():
    """A coarse and a fine flow, which are parts of a displacement, move the canvas as one flow of the whole does."""
    both = replace(SPEC, canvas=replace(SPEC.canvas, flow_grids=((2, 3), (4, 5))))
    some = {name: np.asarray(drawn(*shape, seed=index)) for index, (name, shape) in enumerate(tensor_shapes(SPEC, VIDEO).items())}
    once = some | {"canvas.flows.0": np.full((3, 2, 3, 2), 0.3, np.float32)}
    twice = once | {"canvas.flows.0": np.full((3, 2, 3, 2), 0.2, np.float32), "canvas.flows.1": np.full((3, 4, 5, 2), 0.1, np.float32)}
    at = jnp.arange(3)
    np.testing.assert_allclose(apply_network(SPEC, VIDEO, once, at), apply_network(both, VIDEO, twice, at), atol=1e-4)


def test_a_picture_painted_beforehand_gives_the_same_frames():
    tensors = initial_tensors(SPEC, VIDEO, seed=0)
    picture = canvas_picture(SPEC, VIDEO, tensors)
    given = jax.jit(lambda tensors, picture: bind(SPEC, VIDEO)(tensors)(jnp.arange(3), picture))(tensors, picture)
    np.testing.assert_allclose(given, apply_network(SPEC, VIDEO, tensors, jnp.arange(3)), atol=1e-6)
    assert float(jnp.abs(given - apply_network(SPEC, VIDEO, tensors | {"canvas.paint.bias": np.ones(12)}, jnp.arange(3))).max()) > 0.1
    assert canvas_picture(replace(SPEC, canvas=None), VIDEO, without_canvas(tensors)) is None


# Tensors


def test_the_grids_of_a_pyramid_halve():
    canvas = CanvasSpec((1, 0, 2, 1), ((2, 3),))
    assert canvas.grid_shapes(19, 40) == [(10, 20), (3, 5), (3, 5), (2, 3)]


def test_grids_and_flows_are_private_and_kernels_are_shared():
    tensors = [tensor for tensor in tensor_specs(SPEC, VIDEO) if tensor.name.startswith("canvas.")]
    assert {tensor.name: tensor.shape for tensor in tensors} == {
        "canvas.grids.0": (8, 12), "canvas.grids.1": (4, 6), "canvas.mix.kernel": (3, 3, 2, 4), "canvas.mix.bias": (4,),
        "canvas.paint.kernel": (3, 3, 4, 12), "canvas.paint.bias": (12,),
        "canvas.flows.0": (3, 2, 3, 2), "canvas.blend.kernel": (3, 3, 4, 1), "canvas.blend.bias": (1,),
    }  # fmt: skip
    assert {tensor.name for tensor in tensors if tensor.private} == {"canvas.grids.0", "canvas.grids.1", "canvas.flows.0"}
    assert {tensor.name for tensor in tensors if tensor.per_frame} == {"canvas.flows.0"}

"""inr/tree.py and its parts: the order of frames, bands and wavelets, rendering; codec/band_contexts.py: bands come back."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from make_vectors import FOLDER, VECTORS

from codec.band_contexts import BandCoding, BandContexts, GrowingBand, known_features, levels_of, read_bands
from codec.band_models import band_model
from codec.bitstream import BitstreamError
from codec.coding import codings
from codec.decoder import decode, open_stream
from codec.description import describe, describe_lines
from codec.encoder import encode
from codec.model import QuantizedTensor
from codec.range_coder import RangeWriter
from inr.bands import BandLayout, motion_bands, sample_bands
from inr.constants import MOTION_CELL
from inr.frame_tree import frame_tree, needed
from inr.layout import tensor_specs
from inr.network import apply_network
from inr.tree import planes_of, spread, to_rgb
from inr.wavelet import analysis, joined_97, synthesis
from train.tree.band_rate import contexts_of, magnitude

SPEC, VIDEO = VECTORS["tree"]
MODEL = decode((FOLDER / "tree.inr").read_bytes())


def of_tensor(name: str):
    return next(spec for spec in tensor_specs(SPEC, VIDEO) if spec.name == name)


@pytest.mark.parametrize(("frames", "distance"), [(1, 8), (2, 8), (6, 4), (17, 8), (40, 1), (30, 64)])
def test_a_frame_comes_after_the_frames_that_it_reads(frames: int, distance: int):
    tree = frame_tree(frames, distance)
    places = {frame.index: at for at, frame in enumerate(tree)}
    assert sorted(places) == list(range(frames))
    assert all(places[index] < places[frame.index] for frame in tree for index in frame.references)
    assert all(len(frame.references) == (2 if frame.level else int(frame.index > 0)) for frame in tree)
    assert {frame.index for frame in tree if frame.level == 0} == {*range(0, frames, distance), frames - 1}


def test_the_levels_of_eight_frames_between_two_keys():
    levels = {frame.index: frame.level for frame in frame_tree(9, 8)}
    assert [levels[index] for index in range(9)] == [0, 3, 2, 3, 1, 3, 2, 3, 0]


def test_random_access_decodes_keys_and_the_middle_frames_on_the_way():
    assert [frame.index for frame in needed(100, 8, {3})] == [0, 8, 4, 2, 3]
    assert [frame.index for frame in needed(100, 8, {8})] == [0, 8]


@pytest.mark.parametrize("haar", [False, True])
def test_synthesis_inverts_analysis_and_keeps_energy(haar: bool):
    planes = np.random.default_rng(0).standard_normal((2, 32, 48)).astype(np.float32)
    coarse, details = analysis(planes, 3, haar)
    assert np.asarray(synthesis(jnp.asarray(coarse), [jnp.asarray(part) for part in details], haar)) == pytest.approx(planes, abs=1e-5)
    energy = np.square(coarse).sum() + sum(np.square(part).sum() for part in details)
    assert energy == pytest.approx(np.square(planes).sum(), rel=1e-5 if haar else 0.1)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("size", [2, 4, 5, 12])
def test_the_gradient_of_a_join_is_that_of_its_definition(axis: int, size: int):
    low, high = jax.random.normal(jax.random.key(0), (2, 2, size, size))
    weights = jax.random.normal(jax.random.key(1), joined_97(low, high, axis).shape)
    found = jax.grad(lambda low, high: jnp.vdot(joined_97(low, high, axis), weights), argnums=(0, 1))(low, high)
    expected = jax.linear_transpose(lambda low, high: joined_97.fun(low, high, axis), low, high)(weights)
    assert np.stack(found) == pytest.approx(np.stack(expected), abs=1e-5)


def test_bands_fill_the_flat_vector_without_gaps():
    layout = BandLayout(3, 1, 32, 48, 2)
    assert sum(band.size for band in layout.bands) == layout.size == 32 * 48 + 2 * 16 * 24
    assert [band.start for band in layout.bands] == np.cumsum([0, *(band.size for band in layout.bands)])[:-1].tolist()


def test_flows_are_interpolated_where_they_are_similar_and_not_at_an_edge():
    entries = np.zeros((6, 1, 4), np.float32)
    entries[:2, 0] = [0, 1, 9, 9]
    wide = np.asarray(spread(jnp.asarray(entries), 2, 4 * MOTION_CELL))[0, 0]
    assert np.diff(wide[: 2 * MOTION_CELL]).max() <= 1 / MOTION_CELL + 1e-6
    assert wide[2 * MOTION_CELL] == 9
    assert wide[2 * MOTION_CELL - 1] == pytest.approx(1)


def test_a_still_frame_repeats_its_reference():
    zero = {spec.name: np.zeros(spec.shape, np.int32) for spec in tensor_specs(SPEC, VIDEO)}
    zero["bands"][0, :9] = 40
    zero["steps"][:] = -30
    exponents = {"steps": -24}
    tensors = {name: QuantizedTensor(symbols, exponents.get(name, 0)) for name, symbols in zero.items()}
    still = replace(MODEL, videos=(replace(MODEL.videos[0], tensors=tensors),), fingerprints=b"").render()
    # The fade of a symbol 0 is sigmoid(4) = 0.982 for each reading, and grey is its fixed point.
    assert np.abs(still[0].astype(int) - 128).max() > 10
    assert np.abs(still[5].astype(int) - still[0]).max() <= 8


def test_one_frame_and_the_differentiable_network_agree_with_the_whole_video():
    frames = MODEL.render()
    assert np.abs(MODEL.render([3])[0].astype(int) - frames[3]).max() <= 1
    tensors = {name: jnp.asarray(values) for name, values in MODEL.tensors().items()}
    floats = np.asarray(apply_network(SPEC, VIDEO, tensors, jnp.array([3, 0])))
    assert np.abs(np.clip(floats, 0, 1) * 255 - frames[[3, 0]]).max() <= 1
    between = MODEL.render([2.5])[0].astype(int)
    assert np.abs(between - (frames[2].astype(int) + frames[3]) / 2).max() <= 160  # clipped after the mean of floats
    assert to_rgb(jnp.zeros(3)) == pytest.approx(0.5)


def test_planes_of_the_coarse_band_alone_are_flat():
    layout = sample_bands(16, 16)
    coefficients = np.zeros(layout.size, np.float32)
    coefficients[0] = 16
    plane = np.asarray(planes_of(layout, jnp.asarray(coefficients)))[0]
    assert np.ptp(plane) < 1e-4
    assert plane[0, 0] == pytest.approx(1, abs=0.08)


# Coding


@pytest.mark.parametrize("name", ["bands", "motion"])
def test_symbols_come_back(name: str):
    coding = codings(tensor_specs(SPEC, VIDEO), MODEL.videos[0].tensors)[name]
    assert isinstance(coding, BandCoding)
    writer = RangeWriter()
    coding.write(writer, 0)
    data = writer.getvalue()
    with open_stream(data) as reader:
        found = read_bands(reader, coding.model, coding.kind, coding.levels)
    assert np.array_equal(found, coding.symbols)
    assert 8 * len(data) == pytest.approx(coding.bits, abs=96)


def test_frames_without_symbols_take_a_bit_for_each_group():
    bands = of_tensor("bands").bands
    kind = BandContexts.of(bands)
    model = band_model(bands, MODEL.videos[0].tensors)
    coding = BandCoding(np.zeros((9, kind.layout.size), np.int32), model, kind, levels_of(9, 4))
    assert coding.bits == 9 * len(kind.layout.groups) == 45


def test_savings_are_the_bits_of_a_changed_symbol_alone():
    coding = codings(tensor_specs(SPEC, VIDEO), MODEL.videos[0].tensors)["bands"]
    assert isinstance(coding, BandCoding)
    # The very last symbol is a context of no other one.
    changed = coding.symbols.copy()
    changed[-1, -1] -= 1
    now = BandCoding(changed, coding.model, coding.kind, coding.levels)
    assert coding.bits - now.bits == pytest.approx(coding.savings(-1)[-1, -1], abs=1e-6)


@pytest.mark.parametrize("motion", [False, True])
def test_contexts_and_bits_of_a_fit_are_those_of_the_codec(motion: bool):
    layout = (motion_bands if motion else sample_bands)(34, 45)
    kind, level = BandContexts(layout, 5, motion), 48
    symbols = np.rint(np.random.default_rng(1).laplace(0, 0.8, layout.size)).astype(np.int32)
    values = jnp.asarray(symbols, jnp.float32)
    found = np.asarray(contexts_of(kind, values, magnitude(values), jnp.float32(level / 64)))
    for band in layout.bands:
        growing = GrowingBand(kind, band, known_features(kind, symbols[None], band, np.array([level])))
        order, own = growing.order, symbols[band.place].reshape(band.rows, band.columns)
        growing.store(slice(0, band.size), own[order.row, order.column][None])
        exact = growing.contexts(slice(0, band.size)) / 64
        places = band.start + order.row * band.columns + order.column
        assert pytest.approx(exact, abs=0.03) == found[:, places].T  # integers round logarithms and means


def test_a_model_without_a_legal_step_size_is_rejected():
    bands, tensors = of_tensor("bands").bands, dict(MODEL.videos[0].tensors)
    tensors["contexts.first.kernel"] = QuantizedTensor(np.ones((24, 12), np.int32), -20)
    with pytest.raises(BitstreamError, match="exponent"):
        band_model(bands, tensors)
    tensors["contexts.first.kernel"] = QuantizedTensor(np.full((24, 12), 4000, np.int32), -24)
    with pytest.raises(BitstreamError, match="magnitudes"):
        band_model(bands, tensors)


def test_a_spec_with_a_head_is_rejected():
    wrong = replace(MODEL, spec=replace(SPEC, head_kernel=3))
    with pytest.raises(BitstreamError, match="tree"):
        decode(encode(wrong))


def test_info_tells_the_bits_of_keys_residue_motion_and_networks():
    facts = describe((FOLDER / "tree.inr").read_bytes(), "tree.inr")
    assert list(facts["parts"]) == ["keys", "residue", "motion", "networks"]
    assert sum(facts["parts"].values()) == pytest.approx(sum(tensor["bits"] for tensor in facts["tensors"].values()), abs=1)
    lines = "\n".join(describe_lines(facts))
    assert "tree, a key frame every 4 frames" in lines
    assert "residue" in lines

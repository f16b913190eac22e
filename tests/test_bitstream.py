"""codec/bitstream.py, encoder.py, decoder.py: whole files, and what is not one."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import MAGIC, BitstreamError, Fields, Kind, assemble_file, records, varint
from codec.decoder import decode
from codec.description import describe, sections
from codec.encoder import encode
from codec.fields import SAME_FORMAT, CHECKED, CONTINUES, checked_shapes, read_spec, read_video_spec, write_video_spec
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.frequency_tables import precision
from inr.layout import tensor_shapes
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, Positions, TimeGrids, VideoSpec
from inr.video import Colour

SPEC = NetworkSpec(Embeddings(3), 4, (BlockSpec(4, 2, 1), BlockSpec(4, 2, 3)), 3, 2, norm=True, temporal_grid=2, spatial_grid=(2, 3))
VIDEO = VideoSpec(13, 9, 3, Fraction(30000, 1001), Colour(1, 1, 1, False), "café")


def model(spec: NetworkSpec = SPEC, video: VideoSpec = VIDEO, seed: int = 0) -> QuantizedModel:
    generator = np.random.default_rng(seed)
    shapes = tensor_shapes(spec, video)
    tensors = {
        name: QuantizedTensor(np.rint(generator.laplace(0, 2, shape)).astype(np.int32), int(generator.integers(-40, 0)))
        for name, shape in shapes.items()
    }
    return single_video(spec, video, tensors)


def same(a: QuantizedModel, b: QuantizedModel) -> bool:
    return (
        (a.spec, len(a.layers), [(v.spec, v.layers) for v in a.videos], a.fingerprints)
        == (b.spec, len(b.layers), [(v.spec, v.layers) for v in b.videos], b.fingerprints)
    ) and all(np.array_equal(x, y) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True))


specs = st.builds(
    NetworkSpec,
    beginning=st.one_of(
        st.builds(Embeddings, st.integers(1, 5)),
        st.builds(Positions, st.integers(1, 4), st.integers(0, 3)),
        st.builds(TimeGrids, st.tuples(st.integers(1, 4))),
    ),
    stem=st.integers(1, 6),
    blocks=st.lists(st.builds(BlockSpec, st.integers(1, 5), st.integers(1, 3), st.sampled_from([1, 3])), max_size=3).map(tuple),
    head_kernel=st.sampled_from([1, 3, 5]),
    head_stride=st.integers(1, 4),
    norm=st.booleans(),
    temporal_grid=st.integers(0, 4),
    spatial_grid=st.sampled_from([(0, 0), (1, 2)]),
    bounded=st.booleans(),
    opponent=st.booleans(),
    canvas=st.none()
    | st.builds(CanvasSpec, st.just((1, 1)), st.just(((1, 2),)), st.integers(1, 3), st.just(2), half_samples=st.booleans()),
)
videos = st.builds(
    VideoSpec,
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 4),
    st.fractions(Fraction(1, 10), 240, max_denominator=1001),
    st.builds(Colour, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.booleans()),
    st.text(max_size=20),
    st.just((0, 0, 0, 0)) | st.tuples(*(st.integers(0, 9) for _ in range(4))),
)


@settings(deadline=None, max_examples=60)
@given(specs, videos, st.binary(max_size=4))
def test_any_model_comes_back(spec: NetworkSpec, video: VideoSpec, fingerprint: bytes):
    original = replace(model(spec, video), fingerprint=fingerprint)
    assert same(decode(encode(original)), original)


def test_fixed_overhead_is_small():
    data = encode(replace(model(), fingerprint=b"abcd"))
    parts = sections(data)
    assert sum(parts.values()) == len(data)
    name = len(VIDEO.name.encode())
    assert parts["frame"] + parts["spec"] + parts["video 0 fields"] - name <= 64 + 3 + 3 + 2  # colour tags, odd rate, spatial grid


def test_info_facts_sum_to_the_file():
    data = encode(model())
    facts = describe(data, "x.inr")
    assert sum(facts["sections"].values()) == facts["bytes"] == len(data)
    coded = facts["sections"]["layer 0 tensors"] + facts["sections"]["video 0 tensors"]
    side = sum(10 + sum(precision(math.prod(tensor["shape"]))) for tensor in facts["tensors"].values())
    assert abs(sum(tensor["bits"] for tensor in facts["tensors"].values()) + side - 8 * coded) <= 160


def test_info_says_what_the_canvas_is():
    canvas = CanvasSpec((1,), ((1, 1),), half_samples=True)
    facts = describe(encode(model(replace(SPEC, canvas=canvas), replace(VIDEO, width=20, height=12, margins=(1, 2, 3, 4)))), "x.inr")
    rows, columns = VideoSpec(20, 12, 1).cells(SPEC)
    assert f"canvas {columns * SPEC.upscale + 6}x{rows * SPEC.upscale + 4}, half samples" in facts["network"]
    assert "canvas" not in describe(encode(model()), "x.inr")["network"]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_flipped_bits_are_refused(data: st.DataObject):
    original = encode(model())
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(original) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(damaged) != original:
        with pytest.raises(BitstreamError):
            decode(bytes(damaged))


def test_every_truncation_is_refused():
    original = encode(model())
    for length in range(len(original)):
        with pytest.raises(BitstreamError):
            decode(original[:length])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Kind)[1:]), st.binary(max_size=60)), max_size=4))
def test_well_framed_nonsense_is_refused_or_decoded(parts: list[tuple[Kind, bytes]]):
    """Checksums hold here, so this reaches the field readers and the coder with whatever hypothesis likes."""
    spec, layer, video = [(r.kind, r.payload) for r in records(encode(model())) if r.kind is not Kind.END]
    for candidate in (parts, [spec, *parts], [spec, layer, *parts], [spec, *parts, video]):
        try:
            decode(frame(candidate))
        except BitstreamError as error:
            assert error.exit_code == 5
            assert error.what


def test_dropped_and_swapped_records_are_refused():
    data = encode(model())
    ends = [5]
    for record in records(data):
        ends.append(ends[-1] + record.overhead + len(record.payload))
    head, pieces = data[:5], [data[a:b] for a, b in pairwise(ends)]
    for order in ((0, 2, 3), (0, 1, 3), (0, 2, 1, 3), (0, 1, 1, 2, 3)):
        with pytest.raises(BitstreamError):
            decode(head + b"".join(pieces[i] for i in order))


def test_extra_records_are_skipped_and_unknown_ones_refused():
    spec, layer, video = [(r.kind, r.payload) for r in records(encode(model())) if r.kind is not Kind.END]
    assert same(decode(frame([spec, (Kind.EXTRA, b"anything"), layer, video])), model())
    with pytest.raises(BitstreamError, match="unknown kind 9"):
        decode(frame([spec, (9, b""), layer, video]))  # pyrefly: ignore[bad-argument-type]


@pytest.mark.parametrize(
    ("data", "identifier"),
    [
        (b"", "truncated"),
        (MAGIC, "truncated"),
        (b"\x00\x00\x00\x1cftypisom", "foreign"),
        (MAGIC + b"\x07" + b"0" * 40, "version"),
        (MAGIC + b"\x00" + b"0" * 40, "version"),  # version 0's draft before this one
    ],
)
def test_what_is_not_a_file_is_named(data: bytes, identifier: str):
    with pytest.raises(BitstreamError) as raised:
        decode(data)
    assert raised.value.identifier == identifier


def test_a_video_must_stand_on_layers_that_exist():
    alone = replace(model(), layers=())
    with pytest.raises(BitstreamError, match="stands on layers"):
        decode(encode(alone))


def test_a_file_may_not_ask_for_endless_memory():
    huge = replace(VIDEO, frames=1 << 24, width=65536, height=65536)
    spec, layer, _ = [(r.kind, r.payload) for r in records(encode(model())) if r.kind is not Kind.END]
    with pytest.raises(BitstreamError, match="limit"):
        decode(frame([spec, layer, (Kind.VIDEO, write_video_spec(huge, (0,)))]))


def test_a_canvas_of_few_weights_may_not_be_endless_either():
    """Margins of 16000 x 16000 pixels are 2 ** 24 cells of 4 pixels a side, but more half samples than a decoder should paint."""
    canvas = CanvasSpec((1,), ((1, 1),), stride=4, half_samples=True)
    spec, video = replace(model().spec, canvas=canvas), replace(VIDEO, margins=(16000, 16000, 0, 0))
    assert checked_shapes(replace(spec, canvas=replace(canvas, half_samples=False)), video)
    with pytest.raises(BitstreamError, match="samples of a picture"):
        checked_shapes(spec, video)


def test_half_samples_without_a_canvas_are_refused():
    spec, *_ = records(encode(model()))
    flags = spec.payload[1] | 0x80, 512 >> 7
    with pytest.raises(BitstreamError, match="reserved bits"):
        read_spec(spec.payload[:1] + bytes(flags) + spec.payload[2:])


def test_a_video_of_the_same_size_and_rate_as_the_one_before_does_not_say_so_again():
    other = replace(VIDEO, name="b", frames=9, margins=(1, 0, 0, 2))
    alike, whole = (write_video_spec(other, (0, 2), 77, before=before) for before in (VIDEO, None))
    assert alike[2] == whole[2] | SAME_FORMAT  # the byte after a name of one letter
    form = sum(len(varint(number)) for number in (VIDEO.width, VIDEO.height, VIDEO.fps.numerator, VIDEO.fps.denominator))
    assert len(alike) == len(whole) - form
    for written, before in ((alike, VIDEO), (whole, None), (whole, VIDEO)):
        said = read_video_spec(Fields(written), before)
        assert (said.spec, said.layers, said.checksum, said.continues) == (other, (0, 2), 77, False)
    for unlike in (replace(VIDEO, width=VIDEO.width + 1), replace(VIDEO, height=VIDEO.height + 1), replace(VIDEO, fps=VIDEO.fps + 1)):
        assert write_video_spec(other, (0, 2), 77, before=unlike) == whole
    with pytest.raises(BitstreamError, match="the first video"):
        read_video_spec(Fields(alike), None)
    with pytest.raises(BitstreamError, match="reserved bits"):
        read_video_spec(Fields(bytes([0, SAME_FORMAT | CONTINUES, 1, 1, 0])), VIDEO)
    assert read_video_spec(Fields(bytes([0, CHECKED | CONTINUES, 5, 1, 0, 1, 0, 0, 0])), VIDEO).checksum == 1

"""codec/bitstream.py, encoder.py, decoder.py: whole files come back, and anything else is refused."""

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
from codec.fields import CHECKED, CONTINUES, SAME_FORMAT, checked_specs, read_video_spec, write_video_spec
from codec.frequency_tables import precision
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, single_video
from codec.spec_fields import read_spec
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


def parts_of(data: bytes) -> list[tuple[Kind, bytes]]:
    """The records of a file, without its end record, as (kind, payload)."""
    return [(record.kind, record.payload) for record in records(data) if record.kind is not Kind.END]


def entries_of(model: QuantizedModel) -> list[tuple]:
    """The facts of every video entry but its tensors and weight masks."""
    return [(entry.spec, entry.layers, entry.checksum, entry.continues) for entry in model.videos]


def same(a: QuantizedModel, b: QuantizedModel) -> bool:
    """Whether two models have the same facts, and the same networks for all of their videos."""
    return (a.spec, len(a.layers), a.fingerprints, entries_of(a)) == (b.spec, len(b.layers), b.fingerprints, entries_of(b)) and all(
        np.array_equal(x, y)
        for index in range(len(a.videos))
        for x, y in zip(a.tensors(index).values(), b.tensors(index).values(), strict=True)
    )


specs = st.builds(
    NetworkSpec,
    frame_input=st.one_of(
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
    smooth=st.booleans(),
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


@settings(max_examples=60)
@given(specs, videos, st.binary(max_size=4))
def test_any_model_comes_back(spec: NetworkSpec, video: VideoSpec, fingerprints: bytes):
    original = replace(model(spec, video), fingerprints=fingerprints)
    assert same(decode(encode(original)), original)


def test_a_file_has_little_overhead():
    data = encode(replace(model(), fingerprints=b"abcd"))
    parts = sections(data)
    assert sum(parts.values()) == len(data)
    name = len(VIDEO.name.encode())
    assert parts["overhead"] + parts["spec"] + parts["video 0 fields"] - name <= 64 + 3 + 3 + 2  # colour tags, odd rate, spatial grid


def test_info_facts_sum_to_the_file():
    data = encode(model())
    facts = describe(data, "x.inr")
    assert sum(facts["sections"].values()) == facts["bytes"] == len(data)
    coded = facts["sections"]["layer 0 tensors"] + facts["sections"]["video 0 tensors"]
    side = sum(10 + sum(precision(math.prod(tensor["shape"]))) for tensor in facts["tensors"].values())
    assert abs(sum(tensor["bits"] for tensor in facts["tensors"].values()) + side - 8 * coded) <= 160


def test_info_names_the_canvas():
    canvas = CanvasSpec((1,), ((1, 1),), half_samples=True)
    facts = describe(encode(model(replace(SPEC, canvas=canvas), replace(VIDEO, width=20, height=12, margins=(1, 2, 3, 4)))), "x.inr")
    rows, columns = VideoSpec(20, 12, 1).cells(SPEC)
    assert f"canvas {columns * SPEC.upscale + 6}x{rows * SPEC.upscale + 4}, half samples" in facts["network"]
    assert "canvas" not in describe(encode(model()), "x.inr")["network"]


# Damage


@settings(max_examples=300)
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


@given(st.lists(st.tuples(st.sampled_from(list(Kind)[1:]), st.binary(max_size=60)), max_size=4))
def test_nonsense_in_whole_records_is_refused_or_means_a_model(parts: list[tuple[Kind, bytes]]):
    """Checksums hold here, so any bytes reach the field readers and the coder. A model that they mean can be written and read again."""
    spec, layer, video = parts_of(encode(model()))
    for candidate in (parts, [spec, *parts], [spec, layer, *parts], [spec, *parts, video]):
        try:
            decoded = decode(assemble_file(candidate))
        except BitstreamError as error:
            assert error.exit_code == 5
            assert error.what
        else:
            assert same(decode(encode(decoded)), decoded)


def test_a_video_of_any_bytes_is_refused_or_means_a_model():
    """The fields of a video, then a stream of random words: many of these decode, unlike most of the records above."""
    spec, layer, _ = parts_of(encode(model()))
    generator, decoded = np.random.default_rng(0), 0
    for _ in range(40):
        payload = write_video_spec(VideoEntry(VIDEO, (0,), {})) + generator.bytes(4 * int(generator.integers(1, 60)))
        try:
            found = decode(assemble_file([spec, layer, (Kind.VIDEO, payload)]))
        except BitstreamError as error:
            assert error.identifier in ("bad-stream", "bad-step", "bad-table", "out-of-range")
        else:
            decoded += 1
            assert same(decode(encode(found)), found)
    assert decoded > 0


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
    spec, layer, video = parts_of(encode(model()))
    assert same(decode(assemble_file([spec, (Kind.EXTRA, b"anything"), layer, video])), model())
    with pytest.raises(BitstreamError, match="unknown kind 9"):
        decode(assemble_file([spec, (9, b""), layer, video]))  # pyrefly: ignore[bad-argument-type]


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
def test_other_bytes_are_named(data: bytes, identifier: str):
    with pytest.raises(BitstreamError) as raised:
        decode(data)
    assert raised.value.identifier == identifier


# Limits


def test_a_video_must_reference_layers_that_exist():
    with pytest.raises(BitstreamError, match="references layers"):
        decode(encode(replace(model(), layers=())))


def test_a_file_may_not_ask_for_endless_memory():
    huge = replace(VIDEO, frames=1 << 24, width=65536, height=65536)
    spec, layer, _ = parts_of(encode(model()))
    with pytest.raises(BitstreamError, match="limit"):
        decode(assemble_file([spec, layer, (Kind.VIDEO, write_video_spec(VideoEntry(huge, (0,), {})))]))


def test_a_canvas_of_few_weights_may_not_be_endless():
    """Margins of 16000 x 16000 pixels are 2 ** 24 cells of 4 pixels a side, but more half samples than a decoder may paint."""
    canvas = CanvasSpec((1,), ((1, 1),), stride=4, half_samples=True)
    spec, video = replace(model().spec, canvas=canvas), replace(VIDEO, margins=(16000, 16000, 0, 0))
    assert checked_specs(replace(spec, canvas=replace(canvas, half_samples=False)), video)
    with pytest.raises(BitstreamError, match="samples of a picture"):
        checked_specs(spec, video)


def test_half_samples_without_a_canvas_are_refused():
    spec, *_ = records(encode(model()))
    flags = spec.payload[1] | 0x80, 512 >> 7
    with pytest.raises(BitstreamError, match="reserved bits"):
        read_spec(spec.payload[:1] + bytes(flags) + spec.payload[2:])


def test_a_video_like_the_one_before_does_not_repeat_its_size_and_rate():
    other = replace(VIDEO, name="b", frames=9, margins=(1, 0, 0, 2))
    entry = VideoEntry(other, (0, 2), {}, checksum=77)
    alike, whole = (write_video_spec(entry, before) for before in (VIDEO, None))
    assert alike[2] == whole[2] | SAME_FORMAT  # the byte after a name of one letter
    form = sum(len(varint(number)) for number in (VIDEO.width, VIDEO.height, VIDEO.fps.numerator, VIDEO.fps.denominator))
    assert len(alike) == len(whole) - form
    for written, before in ((alike, VIDEO), (whole, None), (whole, VIDEO)):
        read, own_contexts = read_video_spec(Fields(written), before)
        assert not own_contexts
        assert (read.spec, read.layers, read.checksum, read.continues) == (other, (0, 2), 77, False)
    for unlike in (replace(VIDEO, width=VIDEO.width + 1), replace(VIDEO, height=VIDEO.height + 1), replace(VIDEO, fps=VIDEO.fps + 1)):
        assert write_video_spec(entry, unlike) == whole
    with pytest.raises(BitstreamError, match="the first video"):
        read_video_spec(Fields(alike), None)
    with pytest.raises(BitstreamError, match="reserved bits"):
        read_video_spec(Fields(bytes([0, SAME_FORMAT | CONTINUES, 1, 1, 0])), VIDEO)
    assert read_video_spec(Fields(bytes([0, CHECKED | CONTINUES, 5, 1, 0, 1, 0, 0, 0])), VIDEO)[0].checksum == 1


def test_a_further_segment_has_the_margins_before_it_or_its_own():
    before = replace(VIDEO, margins=(1, 0, 300, 2))
    for margins, size in ((before.margins, 0), ((0, 0, 0, 0), 4), ((7, 0, 0, 300), 5)):
        segment = VideoEntry(replace(before, frames=3, margins=margins), (0,), {}, continues=True)
        written = write_video_spec(segment, before)
        assert len(written) == 5 + size  # no name, flags, frames, one reference
        assert read_video_spec(Fields(written), before)[0].spec == segment.spec

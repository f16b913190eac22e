"""Bytes as a quantised model. `encoder.py` mirrors this file function by function."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod

import numpy as np

from codec.bitstream import ORIGIN_BYTES, BitstreamError, Fields, Kind, Record, records
from codec.entropy import RangeReader
from codec.fields import checked_shapes, read_spec, read_video_spec
from codec.masks import read_masks
from codec.model import Layer, QuantizedModel, QuantizedTensor, VideoEntry
from codec.prediction import predictable, sums
from codec.prob import MAX_MAGNITUDE_BITS, ZERO_BITS, Table, precision, tails, zeros
from codec.quantizer import MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT
from codec.usual import EXPONENTS, MAGNITUDES
from inr.layout import is_private
from inr.spec import NetworkSpec, VideoSpec


def decode(data: bytes) -> QuantizedModel:
    """The model in a complete file; BitstreamError, and nothing else, if the bytes are not one."""
    parsed = meant(data)
    model = None if [record.kind for record in parsed] == [Kind.END] else assembled(parsed)
    if model is None or not model.videos:
        raise BitstreamError("empty-bundle", "an empty bundle: no video was added yet", "inr bundle add NAME.inr VIDEO")
    return model


def decode_bundle(data: bytes) -> QuantizedModel:
    """As `decode`, of a file that may have a decoder and no video yet."""
    return assembled(meant(data))


def meant(data: bytes) -> list[Record]:
    """A file's records without those that mean nothing to a decoder."""
    return [record for record in records(data) if record.kind is not Kind.EXTRA]


def assembled(parsed: list[Record]) -> QuantizedModel:
    """The model that records make."""
    if not parsed or [record.kind for record in parsed].count(Kind.SPEC) != 1 or parsed[0].kind is not Kind.SPEC:
        raise BitstreamError("no-spec", "a file begins with one spec record; this one does not")
    spec = read_spec(parsed[0].payload)
    backbone = backbone_shapes(spec)
    layers = tuple(decode_layer(record, backbone) for record in parsed if record.kind is Kind.LAYER)
    model = QuantizedModel(spec, layers, ())
    for record in parsed:
        if record.kind is Kind.VIDEO:
            model = replace(model, videos=(*model.videos, decode_video(record, model)))
    return replace(model, origin=read_origin(parsed[-1], len(model.videos)))


def read_origin(end: Record, videos: int) -> bytes:
    """What the end mark carries: at most ORIGIN_BYTES bytes a video."""
    if len(end.payload) > ORIGIN_BYTES * videos:
        raise BitstreamError("out-of-range", f"an end mark of {len(end.payload)} bytes; the limit is {ORIGIN_BYTES} a video")
    return end.payload


def backbone_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer; no video has a say in them."""
    shapes = checked_shapes(spec, VideoSpec(1, 1, 1))
    return {name: shape for name, shape in shapes.items() if not is_private(name)}


def decode_layer(record: Record, backbone: Mapping[str, tuple[int, ...]]) -> Layer:
    """The layer in a layer record."""
    return Layer(decode_tensors(record.payload, backbone))


def decode_video(record: Record, model: QuantizedModel) -> VideoEntry:
    """The video in a video record; the layers it stands on, and the videos before it, must be in `model`."""
    fields, layer_count = Fields(record.payload), len(model.layers)
    said = read_video_spec(fields, model.videos[-1].spec if model.videos else None)
    video, layers = said.spec, said.layers
    if any(index >= layer_count for index in layers) or not layers or len(set(layers)) < len(layers):
        raise BitstreamError("missing-layer", f"video '{video.name}' stands on layers {layers}; the file has {layer_count}")
    claims = model.claims(layers[:-1], len(model.videos))
    private = {name: shape for name, shape in checked_shapes(model.spec, video).items() if is_private(name)}
    with opened(fields.rest()) as reader:
        masks = read_masks(reader, claims)
        return VideoEntry(video, layers, read_tensors(reader, private), masks, said.checksum, said.continues)


def decode_tensors(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, QuantizedTensor]:
    """Tensors of the given shapes, in order, from one range-coded stream."""
    with opened(data) as reader:
        return read_tensors(reader, shapes)


@contextmanager
def opened(data: bytes) -> Iterator[RangeReader]:
    """A range-coded stream to read from; whatever goes wrong meanwhile is the stream's fault."""
    if len(data) % 4:
        raise BitstreamError("bad-stream", f"a range-coded stream of {len(data)} bytes is not made of 32-bit words")
    try:
        yield RangeReader(data)
    except BitstreamError:
        raise
    except BaseException as error:
        # The checksum held, so these bytes were made to mislead; the coder may even panic, which is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise BitstreamError("bad-stream", f"a range-coded stream cannot be decoded: {error}") from error


def read_tensors(reader: RangeReader, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, QuantizedTensor]:
    return {name: read_tensor(reader, shape) for name, shape in shapes.items()}


def read_tensor(reader: RangeReader, shape: tuple[int, ...]) -> QuantizedTensor:
    table = read_table(reader, prod(shape))
    if table.magnitude == 0:
        return QuantizedTensor(np.zeros(shape, np.int32), 0)
    exponent = reader.number(EXPONENTS)
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise BitstreamError("bad-step", f"a step's exponent of {exponent}; the limits are {MIN_EXPONENT} and {MAX_EXPONENT}")
    differenced = predictable(shape) and bool(reader.integer(1))
    values = reader.symbols(prod(shape), table).reshape(shape)
    symbols = sums(values) if differenced else values
    if np.abs(symbols).max(initial=0) > MAX_SYMBOL:
        raise BitstreamError("out-of-range", f"differences add up to a symbol beyond {MAX_SYMBOL}")
    return QuantizedTensor(symbols.astype(np.int32), exponent)


def read_table(reader: RangeReader, size: int) -> Table:
    """The table of `size` values."""
    magnitude = reader.number(MAGNITUDES)
    if not 0 <= magnitude <= MAX_MAGNITUDE_BITS:
        raise BitstreamError("bad-table", f"symbols of {magnitude} bits; the limit is {MAX_MAGNITUDE_BITS}")
    zero_bits, tail_bits = precision(size)
    zero = zeros(zero_bits)[reader.integer(zero_bits)] if magnitude else (1 << ZERO_BITS) - 1
    tail = tails(tail_bits)[reader.integer(tail_bits)] if magnitude > 1 else 0
    return Table(zero, tail, magnitude)

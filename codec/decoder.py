"""Bytes as a quantised model. `encoder.py` mirrors this file function by function."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from codec.bitstream import FINGERPRINT_BYTES, BitstreamError, Fields, Kind, Record, records
from codec.coding import read_tensor
from codec.fields import checked_specs, read_spec, read_video_spec
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer
from codec.range_coder import RangeReader
from codec.weight_masks import read_weight_masks
from inr.layout import TensorSpec
from inr.spec import VideoSpec


def decode(data: bytes) -> QuantizedModel:
    """The model in a complete file; BitstreamError, and nothing else, if the bytes are not one."""
    parsed = payload_records(data)
    model = None if [record.kind for record in parsed] == [Kind.END] else build_model(parsed)
    if model is None or not model.videos:
        raise BitstreamError("empty-bundle", "an empty bundle: no video was added yet", "inr bundle add NAME.inr VIDEO")
    return model


def decode_bundle(data: bytes) -> QuantizedModel:
    """As `decode`, for a file that may hold weight layers and no video yet."""
    return build_model(payload_records(data))


def payload_records(data: bytes) -> list[Record]:
    """A file's records without the `extra` ones, which a decoder skips."""
    return [record for record in records(data) if record.kind is not Kind.EXTRA]


def build_model(parsed: list[Record]) -> QuantizedModel:
    """The model that records describe."""
    if not parsed or [record.kind for record in parsed].count(Kind.SPEC) != 1 or parsed[0].kind is not Kind.SPEC:
        raise BitstreamError("no-spec", "a file begins with one spec record; this one does not")
    spec = read_spec(parsed[0].payload)
    shared = [tensor for tensor in checked_specs(spec, VideoSpec(1, 1, 1)) if not tensor.private]  # no video's size matters to them
    layers = tuple(decode_layer(record, shared) for record in parsed if record.kind is Kind.LAYER)
    model = QuantizedModel(spec, layers, ())
    for record in parsed:
        if record.kind is Kind.VIDEO:
            model = replace(model, videos=(*model.videos, decode_video(record, model)))
    return replace(model, fingerprints=read_fingerprints(parsed[-1], len(model.videos)))


def read_fingerprints(end: Record, videos: int) -> bytes:
    """The payload of the end record; BitstreamError if it exceeds FINGERPRINT_BYTES for each video."""
    if len(end.payload) > FINGERPRINT_BYTES * videos:
        raise BitstreamError("out-of-range", f"an end record of {len(end.payload)} bytes; the limit is {FINGERPRINT_BYTES} a video")
    return end.payload


def decode_layer(record: Record, shared: Iterable[TensorSpec]) -> WeightLayer:
    """The weight layer in a layer record."""
    with open_stream(record.payload) as reader:
        return WeightLayer(read_tensors(reader, shared))


def decode_video(record: Record, model: QuantizedModel) -> VideoEntry:
    """The video in a video record; `model` must hold the weight layers that it references and the videos before it."""
    fields, layer_count = Fields(record.payload), len(model.layers)
    entry = read_video_spec(fields, model.videos[-1].spec if model.videos else None)
    layers = entry.layers
    if any(index >= layer_count for index in layers) or not layers or len(set(layers)) < len(layers):
        raise BitstreamError("missing-layer", f"video '{entry.spec.name}' references layers {layers}; the file has {layer_count}")
    claims = model.claims(layers[:-1], len(model.videos))
    private = [tensor for tensor in checked_specs(model.spec, entry.spec) if tensor.private]
    with open_stream(fields.rest()) as reader:
        weight_masks = read_weight_masks(reader, claims)
        return replace(entry, weight_masks=weight_masks, tensors=read_tensors(reader, private))


@contextmanager
def open_stream(data: bytes) -> Iterator[RangeReader]:
    """A range-coded stream to read from. Every failure while it is read becomes a BitstreamError."""
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


def read_tensors(reader: RangeReader, tensors: Iterable[TensorSpec]) -> dict[str, QuantizedTensor]:
    """The given tensors, in order."""
    return {tensor.name: QuantizedTensor(*read_tensor(reader, tensor)) for tensor in tensors}

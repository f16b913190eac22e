"""Decodes the bytes of a file to a quantised model. The inverses of its main functions are in `codec/encoder.py`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from codec.bitstream import FINGERPRINT_BYTES, BitstreamError, Fields, Kind, Record, records
from codec.coding import read_tensors
from codec.fields import checked_specs, read_video_spec
from codec.model import QuantizedModel, VideoEntry, WeightLayer
from codec.range_coder import RangeReader
from codec.spec_fields import read_spec
from codec.weight_masks import read_weight_masks
from inr.spec import VideoSpec
from inr.tensor_spec import TensorSpec


def decode(data: bytes) -> QuantizedModel:
    """The model in a complete file. BitstreamError, and no other error, if `data` is not a valid file or has no video."""
    parsed = payload_records(data)
    model = None if [record.kind for record in parsed] == [Kind.END] else build_model(parsed)
    if model is None or not model.videos:
        raise BitstreamError("empty-bundle", "the bundle is empty: it has no video yet", "inr bundle add NAME.inr VIDEO")
    return model


def decode_bundle(data: bytes) -> QuantizedModel:
    """The model in a complete file that has a spec record, but possibly no video. BitstreamError if `data` is not such a file."""
    return build_model(payload_records(data))


def payload_records(data: bytes) -> list[Record]:
    """The records of a file without the `extra` records, which a decoder ignores."""
    return [record for record in records(data) if record.kind is not Kind.EXTRA]


def build_model(parsed: list[Record]) -> QuantizedModel:
    """The model in `parsed`, the records of a file in order. BitstreamError if they do not describe a model."""
    if not parsed or [record.kind for record in parsed].count(Kind.SPEC) != 1 or parsed[0].kind is not Kind.SPEC:
        raise BitstreamError("no-spec", "a file must have one spec record, before all layers and videos")
    spec = read_spec(parsed[0].payload)
    shared = [tensor for tensor in checked_specs(spec, VideoSpec(1, 1, 1)) if not tensor.private]  # the same for all videos
    layers = tuple(decode_layer(record, shared) for record in parsed if record.kind is Kind.LAYER)
    model = QuantizedModel(spec, layers, ())
    for record in parsed:
        if record.kind is Kind.VIDEO:
            model = replace(model, videos=(*model.videos, decode_video(record, model)))
    return replace(model, fingerprints=read_fingerprints(parsed[-1], len(model.videos)))


def read_fingerprints(end: Record, videos: int) -> bytes:
    """The payload of the end record; BitstreamError if it exceeds FINGERPRINT_BYTES for each video."""
    if len(end.payload) > FINGERPRINT_BYTES * videos:
        raise BitstreamError("out-of-range", f"the end record has {len(end.payload)} bytes, more than {FINGERPRINT_BYTES} for each video")
    return end.payload


def decode_layer(record: Record, shared: Sequence[TensorSpec]) -> WeightLayer:
    """The weight layer in a layer record."""
    with open_stream(record.payload) as reader:
        return WeightLayer(read_tensors(reader, shared))


def decode_video(record: Record, model: QuantizedModel) -> VideoEntry:
    """The entry in a video record. `model` must hold the weight layers of the file and the entries before this one."""
    fields, layer_count = Fields(record.payload), len(model.layers)
    entry, own_contexts = read_video_spec(fields, model.videos[-1].spec if model.videos else None)
    layers = entry.layers
    if any(index >= layer_count for index in layers) or not layers or len(set(layers)) < len(layers):
        raise BitstreamError(
            "missing-layer",
            f"video '{entry.spec.name}' references layers {layers}; it must reference different ones of the file's {layer_count} layers",
        )
    claims = model.claims(layers[:-1], len(model.videos))
    private = [tensor for tensor in checked_specs(model.spec, entry.spec) if tensor.private]
    with open_stream(fields.rest()) as reader:
        weight_masks = read_weight_masks(reader, claims)
        return replace(entry, weight_masks=weight_masks, tensors=read_tensors(reader, private, own_contexts))


@contextmanager
def open_stream(data: bytes) -> Iterator[RangeReader]:
    """A context with a reader of the range-coded stream `data`. Every failure in the context becomes a BitstreamError."""
    if len(data) % 4:
        raise BitstreamError("bad-stream", f"a range-coded stream has {len(data)} bytes; it must consist of words of 4 bytes")
    try:
        yield RangeReader(data)
    except BitstreamError:
        raise
    except BaseException as error:
        # The checksum of the record matches, so an encoder wrote these invalid words. The coder can panic; its panic is no subclass of
        # Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise BitstreamError("bad-stream", f"a range-coded stream cannot be decoded: {error}") from error

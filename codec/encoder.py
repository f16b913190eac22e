"""A quantised model as bytes. `decoder.py` mirrors this file function by function."""

from collections.abc import Sequence

from codec.bitstream import Kind, frame
from codec.entropy import RangeWriter
from codec.fields import write_spec, write_video_spec
from codec.masks import write_masks
from codec.model import Layer, QuantizedModel, QuantizedTensor
from codec.prediction import best_coding, predictable
from codec.prob import Table, precision, tails, zeros
from codec.usual import EXPONENTS, MAGNITUDES


def encode(model: QuantizedModel, before: Sequence[tuple[Kind, bytes]] = ()) -> bytes:
    """The complete file: the records `before`, spec record, layer records, video records, end mark."""
    records = [*before, (Kind.SPEC, write_spec(model.spec))]
    records += [(Kind.LAYER, encode_layer(layer)) for layer in model.layers]
    records += [(Kind.VIDEO, encode_video(model, video)) for video in range(len(model.videos))]
    return frame(records, model.origin)


def encode_layer(layer: Layer) -> bytes:
    """The payload of a layer record: one range-coded stream."""
    return encode_tensors(layer.tensors)


def encode_video(model: QuantizedModel, index: int) -> bytes:
    """The payload of a video record: fields, then one range-coded stream of its masks and its tensors."""
    video, writer = model.videos[index], RangeWriter()
    write_masks(writer, video.masks, model.claims(video.layers[:-1], index))
    before = model.videos[index - 1].spec if index else None
    fields = write_video_spec(video.spec, video.layers, video.checksum, video.continues, before)
    return fields + encode_tensors(video.tensors, writer)


def encode_tensors(tensors: dict[str, QuantizedTensor], writer: RangeWriter | None = None) -> bytes:
    """Each tensor's step, frequency table and symbols, in order, in one stream; after what is in `writer` already."""
    writer = writer or RangeWriter()
    for tensor in tensors.values():
        write_tensor(writer, tensor)
    return writer.getvalue()


def write_tensor(writer: RangeWriter, tensor: QuantizedTensor) -> None:
    coded = best_coding(tensor.symbols)
    write_table(writer, coded.table, tensor.symbols.size)
    if coded.table.magnitude:
        writer.number(tensor.exponent, EXPONENTS)
        if predictable(tensor.symbols.shape):
            writer.integer(coded.differenced, 1)
        writer.symbols(coded.values.ravel(), coded.table)


def write_table(writer: RangeWriter, table: Table, size: int) -> None:
    """The table of `size` values."""
    writer.number(table.magnitude, MAGNITUDES)
    zero_bits, tail_bits = precision(size)
    if table.magnitude:
        writer.integer(zeros(zero_bits).index(table.zero), zero_bits)
    if table.magnitude > 1:
        writer.integer(tails(tail_bits).index(table.tail), tail_bits)

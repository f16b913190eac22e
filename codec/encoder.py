"""Encodes a quantised model to the bytes of a file. The inverses of its functions are in `codec/decoder.py`."""

from collections.abc import Mapping, Sequence

from codec.bitstream import Kind, assemble_file
from codec.coding import codings, write_own_model
from codec.fields import write_video_spec
from codec.frame_contexts import FrameContextCoding
from codec.model import QuantizedModel, QuantizedTensor, WeightLayer
from codec.range_coder import RangeWriter
from codec.spec_fields import write_spec
from codec.weight_masks import write_weight_masks
from inr.layout import layer_specs, tensor_specs
from inr.spec import NetworkSpec
from inr.tensor_spec import TensorSpec


def encode(model: QuantizedModel, before: Sequence[tuple[Kind, bytes]] = ()) -> bytes:
    """The bytes of the complete file of `model`: the records `before`, then spec record, layer records, video records, end record."""
    records = [*before, (Kind.SPEC, write_spec(model.spec))]
    records += [(Kind.LAYER, encode_layer(layer, model.spec)) for layer in model.layers]
    records += [(Kind.VIDEO, encode_video(model, video)) for video in range(len(model.videos))]
    return assemble_file(records, model.fingerprints)


def encode_layer(layer: WeightLayer, spec: NetworkSpec) -> bytes:
    """The payload of a layer record: one range-coded stream."""
    writer = RangeWriter()
    write_tensors(writer, layer_specs(spec), layer.tensors)
    return writer.getvalue()


def encode_video(model: QuantizedModel, index: int) -> bytes:
    """The payload of the video record with this index: fields, then one range-coded stream of weight masks and private tensors."""
    entry, writer = model.videos[index], RangeWriter()
    write_weight_masks(writer, entry.weight_masks, model.claims(entry.layers[:-1], index))
    write_tensors(writer, tensor_specs(model.spec, entry.spec), entry.tensors, entry.has_contexts)
    return write_video_spec(entry, model.videos[index - 1].spec if index else None) + writer.getvalue()


def write_tensors(
    writer: RangeWriter, specs: Sequence[TensorSpec], tensors: Mapping[str, QuantizedTensor], own_contexts: bool = False
) -> None:
    """Write `tensors` in the order of `specs`. Where the encoder has a choice, a tensor gets the coding that takes the fewest bits.

    With `own_contexts`, a bit tells for each tensor that may have a context model of its own whether it has one.
    """
    may = {spec.name for spec in specs if spec.own_contexts} if own_contexts else set()
    for name, coding in codings(specs, tensors).items():
        if name in may:
            writer.integer(isinstance(coding, FrameContextCoding), 1)
        if isinstance(coding, FrameContextCoding):
            write_own_model(writer, tensors[name])
        coding.write(writer, tensors[name].exponent)

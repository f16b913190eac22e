"""A quantised model: the content of a file as plain integers. A file is first parsed into such a model as a whole, and then used."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int32

from codec.quantizer import MAX_EXPONENT, dequantize, quantize
from codec.weight_masks import Claims, WeightMasks
from inr.layout import tensor_specs
from inr.pixels import CHANNELS, Frames
from inr.spec import NetworkSpec, VideoSpec


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer symbols; a weight is its symbol times the step size 2 ** (`exponent` / 8)."""

    symbols: Int32[np.ndarray, "..."]
    exponent: int

    def values(self) -> Float32[np.ndarray, "..."]:
        """The float32 tensor that every decoder works with."""
        return dequantize(self.symbols, self.exponent)

    def coarser(self, by: int) -> "QuantizedTensor":
        """The same values with a step size 2 ** (`by` / 8) times as large."""
        exponent = min(self.exponent + by, MAX_EXPONENT)
        return QuantizedTensor(quantize(self.values(), exponent), exponent)


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A weight layer: the shared tensors of a network, in bitstream order. A non-zero symbol claims its weight."""

    tensors: dict[str, QuantizedTensor]


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """One video record: its spec, the weight layers that it references (its own last, if it has one), and its private tensors.

    `weight_masks` say which weights of the layers before the last are kept; a tensor without a mask is kept whole.
    `checksum` is the CRC-32 of its dequantised tensors, None if the file has none: see `tensors_checksum`.
    An entry that `continues` is a further segment: its frames follow those of the entry before it.
    """

    spec: VideoSpec
    layers: tuple[int, ...]
    tensors: dict[str, QuantizedTensor]
    weight_masks: WeightMasks = field(default_factory=dict)
    checksum: int | None = None
    continues: bool = False


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """The content of a file: a network's spec, weight layers, and the video entries that reference them.

    `fingerprints` holds up to 4 bytes for each entry, by which an encoder recognises its own finished file. A decoder ignores them.
    """

    spec: NetworkSpec
    layers: tuple[WeightLayer, ...]
    videos: tuple[VideoEntry, ...]
    fingerprints: bytes = b""

    @cached_property
    def clips(self) -> tuple[range, ...]:
        """For every video the range of its entries: one, or its segments in order."""
        first = [index for index, entry in enumerate(self.videos) if not entry.continues]
        return tuple(range(start, end) for start, end in pairwise([*first, len(self.videos)]))

    def clip_spec(self, clip: int) -> VideoSpec:
        """The spec of a whole video, all its segments together."""
        entries = [self.videos[index].spec for index in self.clips[clip]]
        return replace(entries[0], frames=sum(spec.frames for spec in entries))

    def own_layer(self, video: int) -> int | None:
        """The weight layer that came with an entry: its last one, or None if that is the last one of an earlier entry too."""
        last = self.videos[video].layers[-1]
        return None if any(entry.layers[-1] == last for entry in self.videos[:video]) else last

    def tensors(self, video: int = 0) -> dict[str, Float32[np.ndarray, "..."]]:
        """The network of an entry: the sum of its weight layers and its private tensors, dequantised, in bitstream order."""
        entry = self.videos[video]
        values = {name: tensor.values() for name, tensor in entry.tensors.items()}
        values |= {name: tensor.values() for name, tensor in self.layers[entry.layers[-1]].tensors.items()}
        for name, base in keep_masked(self.layer_sum(entry.layers[:-1]), entry.weight_masks).items():
            values[name] = base + values[name]
        return {tensor.name: values[tensor.name] for tensor in tensor_specs(self.spec, entry.spec)}

    def layer_sum(self, layers: Sequence[int]) -> dict[str, Float32[np.ndarray, "..."]]:
        """The sums of weight layers' tensors, dequantised, added in the order given; empty for no layer."""
        sums: dict[str, np.ndarray] = {}
        for index in layers:
            for name, tensor in self.layers[index].tensors.items():
                sums[name] = sums[name] + tensor.values() if name in sums else tensor.values()
        return sums

    def used(self, video: int) -> dict[str, Bool[np.ndarray, "..."]]:
        """For each tensor, True for the weights that an entry uses: those that it keeps, and those that its own layer claims."""
        entry, used = self.videos[video], {}
        for name, tensor in self.layers[entry.layers[-1]].tensors.items():
            below = [self.layers[index].tensors[name].symbols != 0 for index in entry.layers[:-1]]
            base = np.any(below, axis=0) if below else np.zeros(tensor.symbols.shape, bool)
            used[name] = base & entry.weight_masks.get(name, np.True_) | (tensor.symbols != 0)
        return used

    def claims(self, layers: Sequence[int], video: int) -> dict[str, Claims]:
        """The claims of `layers` by tensor, from the facts that a decoder knows before it reads the weight masks of entry `video`."""
        if not layers:
            return {}
        below = [self.layers[index].tensors for index in layers]
        before = self.used(video - 1) if video else {}
        no_weights = {name: np.zeros(tensor.symbols.shape, bool) for name, tensor in below[0].items()}
        return {name: Claims.of([layer[name].symbols for layer in below], before.get(name, no_weights[name])) for name in below[0]}

    def render(self, indices: Iterable[float] | None = None, clip: int = 0) -> Frames:
        """Frames of a video, uint8 R'G'B'; by default all of them, in order. Only segments that hold a requested frame are rendered.

        An index between two frames of a segment is interpolated. An index between two segments gives the last frame of the first one.
        """
        spec = self.clip_spec(clip)
        times = np.arange(spec.frames) if indices is None else np.asarray(list(indices))
        out = np.empty((len(times), spec.height, spec.width, CHANNELS), np.uint8)
        start = 0
        for entry in self.clips[clip]:
            end = start + self.videos[entry].spec.frames
            inside = np.flatnonzero((start <= times) & (times < end))
            if len(inside):
                out[inside] = self.render_entry(entry, np.minimum(times[inside] - start, end - start - 1))
            start = end
        return out

    def render_entry(self, entry: int, indices: Iterable[float] | None = None) -> Frames:
        """Frames of one entry; `indices` count from its first frame."""
        from inr.rendering import render

        return render(self.spec, self.videos[entry].spec, self.tensors(entry), indices)


def keep_masked(base: Mapping[str, Float32[np.ndarray, "..."]], weight_masks: WeightMasks) -> dict[str, Float32[np.ndarray, "..."]]:
    """`base` with zeros in place of the weights that the weight masks do not keep."""
    return {name: np.where(weight_masks[name], values, np.float32(0)) if name in weight_masks else values for name, values in base.items()}


def tensors_checksum(tensors: Mapping[str, Float32[np.ndarray, "..."]]) -> int:
    """CRC-32 of dequantised tensors in bitstream order, as little-endian float32. A negative zero counts as zero."""
    checksum = 0
    for values in tensors.values():
        checksum = zlib.crc32(np.ascontiguousarray(values + np.float32(0), "<f4").tobytes(), checksum)
    return checksum


def split_tensors(
    spec: NetworkSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]
) -> tuple[dict[str, QuantizedTensor], dict[str, QuantizedTensor]]:
    """A network's tensors as (those of its weight layer, its private ones), both in bitstream order."""
    private = {tensor.name for tensor in tensor_specs(spec, video) if tensor.private}
    shared = {name: tensor for name, tensor in tensors.items() if name not in private}
    return shared, {name: tensor for name, tensor in tensors.items() if name in private}


def single_video(spec: NetworkSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
    """The model of a single video: one weight layer and no weight mask."""
    shared, private = split_tensors(spec, video, tensors)
    return QuantizedModel(spec, (WeightLayer(shared),), (VideoEntry(video, (0,), private),))

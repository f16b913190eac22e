"""The quantised model: the content of a file as integers. A decoder reads the whole file into a model before it renders a frame."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int32

from codec.quantizer import MAX_EXPONENT, dequantize, quantize
from codec.weight_masks import Claims, WeightMasks
from inr.backend import Backend
from inr.layout import tensor_specs
from inr.pixels import CHANNELS, Frames
from inr.spec import NetworkSpec, VideoSpec


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """The symbols (-4095..4095) of a tensor and the exponent of its step size: a weight is its symbol times 2 ** (`exponent` / 8).

    `contexts` are the tensors, by name, of a context model that codes this tensor alone: see `codec.frame_contexts`; None without one.
    """

    symbols: Int32[np.ndarray, "..."]
    exponent: int
    contexts: "Mapping[str, QuantizedTensor] | None" = None

    def values(self) -> Float32[np.ndarray, "..."]:
        """The weights as float32, which are the same on every machine."""
        return dequantize(self.symbols, self.exponent)

    def coarser(self, by: int) -> "QuantizedTensor":
        """The tensor quantised again with a step size 2 ** (`by` / 8) times as large; the exponent is limited to MAX_EXPONENT."""
        exponent = min(self.exponent + by, MAX_EXPONENT)
        return QuantizedTensor(quantize(self.values(), exponent), exponent)


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """One weight layer: the shared tensors of a network by name, in bitstream order. A symbol that is not zero claims its weight."""

    tensors: dict[str, QuantizedTensor]


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """The content of one video record, which is one video or one segment of a video.

    `layers` holds the numbers of the weight layers that the entry references; if it has a layer of its own, this is the last one.
    `tensors` are its private tensors by name. `weight_masks` say which weights of the layers before the last one the entry keeps; it
    keeps all weights of a tensor without a mask. `checksum` is the CRC-32 of its network's dequantised tensors (see
    `tensors_checksum`), or None if the file does not store it. With `continues`, the entry is a further segment: its frames follow
    those of the entry before it.
    """

    spec: VideoSpec
    layers: tuple[int, ...]
    tensors: dict[str, QuantizedTensor]
    weight_masks: WeightMasks = field(default_factory=dict)
    checksum: int | None = None
    continues: bool = False

    @property
    def has_contexts(self) -> bool:
        """Whether a tensor is coded with a context model of its own."""
        return any(tensor.contexts is not None for tensor in self.tensors.values())


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """The content of a file: a network's spec, weight layers, and the video entries that reference them.

    `fingerprints` holds up to 4 bytes for each entry, by which an encoder recognises its own finished file. A decoder ignores them.
    In the methods, `video` is the index of an entry in `videos`, and `clip` is the index of a whole video in `clips`.
    """

    spec: NetworkSpec
    layers: tuple[WeightLayer, ...]
    videos: tuple[VideoEntry, ...]
    fingerprints: bytes = b""

    @cached_property
    def clips(self) -> tuple[range, ...]:
        """For every whole video, the indices of its entries in `videos`: one index, or one for each segment in order."""
        first = [index for index, entry in enumerate(self.videos) if not entry.continues]
        return tuple(range(start, end) for start, end in pairwise([*first, len(self.videos)]))

    def clip_spec(self, clip: int) -> VideoSpec:
        """The spec of a whole video: `frames` counts the frames of all its segments."""
        entries = [self.videos[index].spec for index in self.clips[clip]]
        return replace(entries[0], frames=sum(spec.frames for spec in entries))

    def own_layer(self, video: int) -> int | None:
        """The number of an entry's own weight layer: its last layer, or None if this is also the last layer of an earlier entry."""
        last = self.videos[video].layers[-1]
        return None if any(entry.layers[-1] == last for entry in self.videos[:video]) else last

    def tensors(self, video: int = 0) -> dict[str, Float32[np.ndarray, "..."]]:
        """The float32 tensors of an entry's network by name, in bitstream order.

        They are its private tensors, and the sums of its weight layers, in which the weight masks set weights to zero.
        """
        entry = self.videos[video]
        values = {name: tensor.values() for name, tensor in entry.tensors.items()}
        values |= {name: tensor.values() for name, tensor in self.layers[entry.layers[-1]].tensors.items()}
        for name, base in keep_masked(self.layer_sum(entry.layers[:-1]), entry.weight_masks).items():
            values[name] = base + values[name]
        return {tensor.name: values[tensor.name] for tensor in tensor_specs(self.spec, entry.spec)}

    def layer_sum(self, layers: Sequence[int]) -> dict[str, Float32[np.ndarray, "..."]]:
        """The float32 sums of the weight layers with the numbers `layers`, by tensor, added in this order; empty if `layers` is empty."""
        sums: dict[str, np.ndarray] = {}
        for index in layers:
            for name, tensor in self.layers[index].tensors.items():
                sums[name] = sums[name] + tensor.values() if name in sums else tensor.values()
        return sums

    def used(self, video: int) -> dict[str, Bool[np.ndarray, "..."]]:
        """By tensor, True for each weight that an entry uses: it keeps the weight of an earlier layer, or its last layer claims it."""
        entry, used = self.videos[video], {}
        for name, tensor in self.layers[entry.layers[-1]].tensors.items():
            below = [self.layers[index].tensors[name].symbols != 0 for index in entry.layers[:-1]]
            base = np.any(below, axis=0) if below else np.zeros(tensor.symbols.shape, bool)
            used[name] = base & entry.weight_masks.get(name, np.True_) | (tensor.symbols != 0)
        return used

    def claims(self, layers: Sequence[int], video: int) -> dict[str, Claims]:
        """The claims of the weight layers `layers`, by tensor. A decoder knows them before it reads the weight masks of entry `video`."""
        if not layers:
            return {}
        below = [self.layers[index].tensors for index in layers]
        before = self.used(video - 1) if video else {}
        no_weights = {name: np.zeros(tensor.symbols.shape, bool) for name, tensor in below[0].items()}
        return {name: Claims.of([layer[name].symbols for layer in below], before.get(name, no_weights[name])) for name in below[0]}

    def render(self, indices: Iterable[float] | None = None, clip: int = 0, backend: Backend = Backend.AUTO) -> Frames:
        """Render frames of a whole video as uint8 R'G'B' (t h w 3) with `backend`; by default all frames, in order.

        IndexError if an index is below 0, or not below the number of frames. An index between two frames of a segment gives an interpolated
        frame. An index between the last frame of a segment and the first one of the next segment gives the former. Only segments that
        hold a requested frame are rendered.
        """
        spec = self.clip_spec(clip)
        times = np.arange(spec.frames) if indices is None else np.asarray(list(indices))
        if len(times) and not (times.min() >= 0 and times.max() < spec.frames):
            raise IndexError(f"`indices` run from {times.min()} to {times.max()}; the video has frames 0 to {spec.frames - 1}.")
        out = np.empty((len(times), spec.height, spec.width, CHANNELS), np.uint8)
        start = 0
        for entry in self.clips[clip]:
            end = start + self.videos[entry].spec.frames
            inside = np.flatnonzero((start <= times) & (times < end))
            if len(inside):
                out[inside] = self.render_entry(entry, np.minimum(times[inside] - start, end - start - 1), backend)
            start = end
        return out

    def render_entry(self, entry: int, indices: Iterable[float] | None = None, backend: Backend = Backend.AUTO) -> Frames:
        """Render frames of the entry with the index `entry` as uint8 R'G'B' (t h w 3); `indices` count from its first frame."""
        return backend.renderer()(self.spec, self.videos[entry].spec, self.tensors(entry), indices)


def keep_masked(base: Mapping[str, Float32[np.ndarray, "..."]], weight_masks: WeightMasks) -> dict[str, Float32[np.ndarray, "..."]]:
    """The tensors `base`, with zeros for the weights that the weight masks do not keep."""
    return {name: np.where(weight_masks[name], values, np.float32(0)) if name in weight_masks else values for name, values in base.items()}


def tensors_checksum(tensors: Mapping[str, Float32[np.ndarray, "..."]]) -> int:
    """The CRC-32 of `tensors` as little-endian float32, one after the other; callers give them in bitstream order. -0 counts as +0."""
    checksum = 0
    for values in tensors.values():
        checksum = zlib.crc32(np.ascontiguousarray(values + np.float32(0), "<f4").tobytes(), checksum)
    return checksum


def split_tensors(
    spec: NetworkSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]
) -> tuple[dict[str, QuantizedTensor], dict[str, QuantizedTensor]]:
    """Split a network's tensors into the tensors of its weight layer and its private tensors, both in bitstream order."""
    private = {tensor.name for tensor in tensor_specs(spec, video) if tensor.private}
    shared = {name: tensor for name, tensor in tensors.items() if name not in private}
    return shared, {name: tensor for name, tensor in tensors.items() if name in private}


def single_video(spec: NetworkSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
    """The model of a file with one video, one weight layer and no weight mask."""
    shared, private = split_tensors(spec, video, tensors)
    return QuantizedModel(spec, (WeightLayer(shared),), (VideoEntry(video, (0,), private),))

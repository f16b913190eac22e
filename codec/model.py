"""A quantised model: what a file holds, as plain integers. Parsed first, acted on later."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from codec.masks import Claims, Masks
from codec.quantizer import MAX_EXPONENT, dequantize, quantize
from inr.layout import is_private, tensor_shapes
from inr.spec import NetworkSpec, VideoSpec


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Integer symbols on a step of 2 ** (`exponent` / 8)."""

    symbols: Int32[np.ndarray, "..."]
    exponent: int

    def values(self) -> Float32[np.ndarray, "..."]:
        """The float32 tensor that every decoder works with."""
        return dequantize(self.symbols, self.exponent)

    def coarser(self, by: int) -> "QuantizedTensor":
        """The same values on a step 2 ** (`by` / 8) times as wide."""
        exponent = min(self.exponent + by, MAX_EXPONENT)
        return QuantizedTensor(quantize(self.values(), exponent), exponent)


@dataclass(frozen=True, eq=False)
class Layer:
    """Backbone tensors in bitstream order. A non-zero symbol claims its weight."""

    tensors: dict[str, QuantizedTensor]


@dataclass(frozen=True, eq=False)
class VideoEntry:
    """One video: what it is, the layers it stands on (its own last, where it has one), and the tensors that are its alone.

    `masks` say which weights of the layers before the last it keeps; a tensor that is not named there is kept whole.
    `checksum` is the CRC-32 of its dequantised tensors, where the file has one: see `tensors_checksum`.
    One that `continues` holds the frames that follow those of the entry before it: a long video is a chain of such groups.
    """

    spec: VideoSpec
    layers: tuple[int, ...]
    tensors: dict[str, QuantizedTensor]
    masks: Masks = field(default_factory=dict)
    checksum: int | None = None
    continues: bool = False


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """All that a file says: a network's spec, its layers, and the entries that stand on them.

    `origin` is up to 4 bytes an entry by which an encoder knows its own finished work again; decoding ignores it.
    """

    spec: NetworkSpec
    layers: tuple[Layer, ...]
    videos: tuple[VideoEntry, ...]
    origin: bytes = b""

    @cached_property
    def clips(self) -> tuple[range, ...]:
        """Every video's entries: one, or its groups of frames in order."""
        first = [index for index, entry in enumerate(self.videos) if not entry.continues]
        return tuple(range(start, end) for start, end in pairwise([*first, len(self.videos)]))

    def clip_spec(self, clip: int) -> VideoSpec:
        """What a whole video is, all its groups together."""
        entries = [self.videos[index].spec for index in self.clips[clip]]
        return replace(entries[0], frames=sum(spec.frames for spec in entries))

    def own_layer(self, video: int) -> int | None:
        """The layer that came with an entry: its last one, unless that is the last one of an entry before it as well."""
        last = self.videos[video].layers[-1]
        return None if any(entry.layers[-1] == last for entry in self.videos[:video]) else last

    def tensors(self, video: int = 0) -> dict[str, Float32[np.ndarray, "..."]]:
        """The network of an entry: the sum of its layers and its own tensors, dequantised, in bitstream order."""
        entry = self.videos[video]
        values = {name: tensor.values() for name, tensor in entry.tensors.items()}
        values |= {name: tensor.values() for name, tensor in self.layers[entry.layers[-1]].tensors.items()}
        for name, base in kept(self.ground(entry.layers[:-1]), entry.masks).items():
            values[name] = base + values[name]
        return {name: values[name] for name in tensor_shapes(self.spec, entry.spec)}

    def ground(self, layers: Sequence[int]) -> dict[str, Float32[np.ndarray, "..."]]:
        """The sums of the layers' tensors, dequantised, in the order given; nothing for no layer."""
        sums: dict[str, np.ndarray] = {}
        for index in layers:
            for name, tensor in self.layers[index].tensors.items():
                sums[name] = sums[name] + tensor.values() if name in sums else tensor.values()
        return sums

    def used(self, video: int) -> dict[str, Bool[np.ndarray, "..."]]:
        """The weights of layers that a video uses: those it kept, and those of its own layer."""
        entry, used = self.videos[video], {}
        for name, tensor in self.layers[entry.layers[-1]].tensors.items():
            below = [self.layers[index].tensors[name].symbols != 0 for index in entry.layers[:-1]]
            ground = np.any(below, axis=0) if below else np.zeros(tensor.symbols.shape, bool)
            used[name] = ground & entry.masks.get(name, np.True_) | (tensor.symbols != 0)
        return used

    def claims(self, layers: Sequence[int], video: int) -> dict[str, Claims]:
        """What is known, before its masks, of the tensors that the `video`-th video stands on, its own layer excepted."""
        if not layers:
            return {}
        below = [self.layers[index].tensors for index in layers]
        before = self.used(video - 1) if video else {}
        nothing = {name: np.zeros(tensor.symbols.shape, bool) for name, tensor in below[0].items()}
        return {name: Claims.of([layer[name].symbols for layer in below], before.get(name, nothing[name])) for name in below[0]}

    def render(self, indices: Iterable[float] | None = None, clip: int = 0) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames of a video, uint8 R'G'B'; `indices` default to all, in order. Only groups that hold some of them are rendered.

        An index between two frames of one group lies between them; between two groups, it is the first one's last frame.
        """
        spec = self.clip_spec(clip)
        wanted = np.arange(spec.frames) if indices is None else np.asarray(list(indices))
        out = np.empty((len(wanted), spec.height, spec.width, 3), np.uint8)
        start = 0
        for entry in self.clips[clip]:
            end = start + self.videos[entry].spec.frames
            here = np.flatnonzero((start <= wanted) & (wanted < end))
            if len(here):
                out[here] = self.render_entry(entry, np.minimum(wanted[here] - start, end - start - 1))
            start = end
        return out

    def render_entry(self, entry: int, indices: Iterable[float] | None = None) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames of one entry, counted from its first."""
        from inr.rendering import render

        return render(self.spec, self.videos[entry].spec, self.tensors(entry), indices)


def kept(ground: Mapping[str, Float32[np.ndarray, "..."]], masks: Masks) -> dict[str, Float32[np.ndarray, "..."]]:
    """The weights of `ground` that masks keep; zeros elsewhere."""
    return {name: np.where(masks[name], values, np.float32(0)) if name in masks else values for name, values in ground.items()}


def tensors_checksum(tensors: Mapping[str, Float32[np.ndarray, "..."]]) -> int:
    """CRC-32 over dequantised tensors, in bitstream order, as little-endian float32; a negative zero counts as zero."""
    checksum = 0
    for values in tensors.values():
        checksum = zlib.crc32(np.ascontiguousarray(values + np.float32(0), "<f4").tobytes(), checksum)
    return checksum


def split_tensors(tensors: dict[str, QuantizedTensor]) -> tuple[dict[str, QuantizedTensor], dict[str, QuantizedTensor]]:
    """Tensors of a network as (backbone, private), both in bitstream order."""
    backbone = {name: tensor for name, tensor in tensors.items() if not is_private(name)}
    private = {name: tensor for name, tensor in tensors.items() if is_private(name)}
    return backbone, private


def single_video(spec: NetworkSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
    """A lone video is a file of one layer and no mask."""
    backbone, private = split_tensors(tensors)
    return QuantizedModel(spec, (Layer(backbone),), (VideoEntry(video, (0,), private),))

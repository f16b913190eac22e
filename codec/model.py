"""A quantised model: what a file holds, as plain integers. Parsed first, acted on later."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from codec.quantizer import MAX_EXPONENT, dequantize, quantize
from inr.layout import is_private, tensor_shapes
from inr.spec import HNeRVSpec, VideoSpec


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
    """One video: what it is, the layers it stands on, and the tensors that are its alone."""

    spec: VideoSpec
    layers: tuple[int, ...]
    tensors: dict[str, QuantizedTensor]


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """All that a file says: a network's spec, its layers, and the videos that stand on them.

    `origin` is up to 4 bytes by which an encoder knows its own finished work again; decoding ignores it.
    """

    spec: HNeRVSpec
    layers: tuple[Layer, ...]
    videos: tuple[VideoEntry, ...]
    origin: bytes = b""

    def tensors(self, video: int = 0) -> dict[str, Float32[np.ndarray, "..."]]:
        """The network of a video: the sum of its layers and its own tensors, dequantised, in bitstream order."""
        entry = self.videos[video]
        values = {name: tensor.values() for name, tensor in entry.tensors.items()}
        for index in entry.layers:
            for name, tensor in self.layers[index].tensors.items():
                values[name] = values[name] + tensor.values() if name in values else tensor.values()
        return {name: values[name] for name in tensor_shapes(self.spec, entry.spec)}

    def render(self, indices=None, video: int = 0) -> np.ndarray:
        """Frames of a video, uint8 R'G'B' (t h w 3); `indices` default to all, in order."""
        from inr.rendering import render

        return render(self.spec, self.videos[video].spec, self.tensors(video), indices)


def split_tensors(tensors: dict[str, QuantizedTensor]) -> tuple[dict[str, QuantizedTensor], dict[str, QuantizedTensor]]:
    """Tensors of a network as (backbone, private), both in bitstream order."""
    backbone = {name: tensor for name, tensor in tensors.items() if not is_private(name)}
    private = {name: tensor for name, tensor in tensors.items() if is_private(name)}
    return backbone, private


def single_video(spec: HNeRVSpec, video: VideoSpec, tensors: dict[str, QuantizedTensor]) -> QuantizedModel:
    """A lone video is a file of one layer and no mask."""
    backbone, private = split_tensors(tensors)
    return QuantizedModel(spec, (Layer(backbone),), (VideoEntry(video, (0,), private),))

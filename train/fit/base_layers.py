"""The base of a further video: the weight layers of a bundle that it references, the part of them that it keeps, and its own layer.

PFNR (Kang et al., ICLR 2024) and WSN (Kang et al., ICML 2022): a later task reuses the frozen weights that its mask selects, and
never changes an earlier task. Here the frozen weights are the decoder's own, dequantised, so the promise holds for the bytes. A video
adds a weight layer of its own on its own step sizes. That layer costs what its non-zero symbols cost, and most of a layer that
suits as it is stays zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from codec.bitstream import FINGERPRINT_BYTES, AppendableFile, Kind
from codec.bundle import bundle_settings
from codec.decoder import decode
from codec.encoder import encode_layer, encode_video
from codec.fields import write_spec
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer, keep_masked, split_tensors, tensors_checksum
from codec.weight_masks import WeightMasks, normalised
from inr.layout import layer_specs, tensor_specs
from inr.spec import VideoSpec
from train.fit.packing import PackedLayout
from train.fit.qat import straight_through


class Frozen(NamedTuple):
    """The base layers as rows: their summed weights, 1 where one of them has a non-zero symbol, and the share of these that is kept."""

    values: Float[Array, "rows 64"]
    claimed: Float[Array, "rows 64"]
    density: Float[Array, ""]


@dataclass(frozen=True, eq=False)
class BaseLayers:
    """A bundle that a further video is fitted on: its bytes, and the model in them (of an empty bundle, a spec and nothing else).

    `density` is the share of the claimed weights that the video keeps; at 0 it references no layer. With `every_layer` it
    references all layers, else the first alone. With `continues` its frames follow those of the last entry.
    """

    data: bytes
    model: QuantizedModel
    density: float = 1.0
    every_layer: bool = False
    continues: bool = False

    @classmethod
    def of(cls, data: bytes, density: float = 1.0) -> "BaseLayers":
        """The base in a bundle that holds at least one video."""
        return cls(data, decode(data), density)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The weight layers that a further video may reference."""
        count = len(self.model.layers) if self.every_layer else min(1, len(self.model.layers))
        return tuple(range(count)) if self.density else ()

    @cached_property
    def initial_values(self) -> Mapping[str, np.ndarray]:
        """Tensors, float32, that a fit starts from instead of fresh ones: those that paint a canvas, or all of a pretrained layer.

        Of another video's kernels those alone are worth starting from (benchmarks/EXPERIMENTS.md), and not if one of them is all
        zeros, because then none of them has a gradient.
        """
        if bundle_settings(self.data).pretrained:
            return self.sums
        warm = {tensor.name for tensor in layer_specs(self.model.spec) if tensor.warm_start}
        painter = {name: values for name, values in self.sums.items() if name in warm}
        return painter if all(values.any() for values in painter.values() if values.ndim > 1) else {}

    @property
    def exponents(self) -> Mapping[str, int]:
        """Step sizes' exponents that a fit starts from instead of fresh ones: none here."""
        return {}

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """The weights of the base layers, summed as the decoder sums them, float32."""
        return self.model.layer_sum(self.layers)

    @cached_property
    def claimed(self) -> dict[str, Bool[np.ndarray, "..."]]:
        """Where any base layer has a non-zero symbol, by tensor."""
        below = [self.model.layers[index].tensors for index in self.layers]
        return {name: np.any([layer[name].symbols != 0 for layer in below], axis=0) for name in self.sums}

    def frozen(self, layout: PackedLayout) -> Frozen | None:
        """The base as a fit takes it, zero for private tensors; None if there is no base layer."""
        if not self.layers:
            return None
        claimed = {name: values.astype(np.float32) for name, values in self.claimed.items()}
        values, places = (jnp.asarray(layout.pack_on_host(layout.zeros() | part)) for part in (self.sums, claimed))
        return Frozen(values, places, jnp.float32(self.density))

    def first_masks(self, layout: PackedLayout) -> WeightMasks:
        """The weight masks at the start of a fit; empty if everything is kept, or if there is no base layer."""
        frozen = self.frozen(layout)
        if frozen is None or self.density == 1:
            return {}
        return self.weight_masks(layout, initial_scores(layout, self.sums), frozen)

    def weight_masks(self, layout: PackedLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> WeightMasks:
        """The weights that `scores` select."""
        best = layout.unpack(np.asarray(subnetwork(layout, scores, frozen)))
        return {name: best[name] > 0.5 for name in self.sums}

    def kept(self, weight_masks: WeightMasks) -> dict[str, np.ndarray]:
        """The weights of the base that weight masks keep, float32."""
        return keep_masked(self.sums, weight_masks)

    def joined(self, video: VideoSpec, tensors: dict[str, QuantizedTensor], weight_masks: WeightMasks) -> QuantizedModel:
        """The bundle with one more video: it references the base layers of which it keeps anything, and a layer of its own.

        Its own layer is left out if it is all zeros and everything in the base is kept whole.
        """
        own, private = split_tensors(self.model.spec, video, tensors)

        def keeps_any(index: int) -> bool:
            below = self.model.layers[index].tensors
            return any(np.any((tensor.symbols != 0) & weight_masks.get(name, np.True_)) for name, tensor in below.items())

        layers = tuple(index for index in self.layers if keeps_any(index))
        coded_masks = normalised(weight_masks, self.model.claims(layers, len(self.model.videos)))
        model = self.model
        if not layers or coded_masks or any(tensor.symbols.any() for tensor in own.values()):
            layers = (*layers, len(model.layers))
            model = replace(model, layers=(*model.layers, WeightLayer(own)))
        entry = VideoEntry(video, layers, private, coded_masks, continues=self.continues)
        model = replace(model, videos=(*model.videos, entry))
        entry = replace(entry, checksum=tensors_checksum(model.tensors(-1)))
        return replace(model, videos=(*self.model.videos, entry))

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The tensors of the last video alone in a model that `joined` made: private ones, and those of its own layer, if any."""
        own = model.layers[-1].tensors if len(model.layers) > len(self.model.layers) else {}
        return own | model.videos[-1].tensors

    def encoded(self, model: QuantizedModel, fingerprint: bytes) -> bytes:
        """The bundle's bytes, followed by the records that `joined` added."""
        new = [] if self.model.layers else [(Kind.SPEC, write_spec(self.model.spec))]
        new += [(Kind.LAYER, encode_layer(layer)) for layer in model.layers[len(self.model.layers) :]]
        new += [(Kind.VIDEO, encode_video(model, len(model.videos) - 1))]
        return self.file.with_records(new, self.fingerprints + fingerprint)

    @cached_property
    def file(self) -> AppendableFile:
        """The file to append to."""
        return AppendableFile.of(self.data)

    @property
    def fingerprints(self) -> bytes:
        """The fingerprints of the videos so far; zeros for those that have none."""
        return self.model.fingerprints.ljust(FINGERPRINT_BYTES * len(self.model.videos), b"\0")


@dataclass(frozen=True, eq=False)
class PreviousSegment(BaseLayers):
    """The segments so far of a long video. The next one starts as the last one's network and is coded as the difference from it.

    NIRVANA (Maiya et al., CVPR 2023, section 3): a segment's weights are the previous segment's plus a residual. Every
    `key_every`-th segment references no other, so that a frame is decoded from at most that many weight layers.
    """

    key_every: int = 8

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers of the segment before; none for a key."""
        segments = len(self.model.videos)
        return self.model.videos[-1].layers if segments % self.key_every else ()

    @cached_property
    def initial_values(self) -> Mapping[str, np.ndarray]:
        """The last segment's network without the entries that belong to its frames."""
        if not self.model.videos:
            return {}
        entries = {tensor.name for tensor in tensor_specs(self.model.spec, self.model.videos[-1].spec) if tensor.per_frame}
        return {name: values for name, values in self.model.tensors(-1).items() if name not in entries}

    @cached_property
    def exponents(self) -> Mapping[str, int]:
        """The last exponents, since the last key at least, of each tensor that had a symbol other than zero."""
        found: dict[str, int] = {}
        for entry in self.model.videos[-self.key_every :]:
            own = self.model.layers[entry.layers[-1]].tensors | entry.tensors
            found |= {name: tensor.exponent for name, tensor in own.items() if tensor.symbols.any()}
        return found


def subnetwork(layout: PackedLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> Float[Array, "rows 64"]:
    """1 for the best share, by absolute score, of each tensor's claimed weights, else 0; the gradient of the absolute score.

    WSN, equation 3: the top c per cent of each tensor, straight through.
    """
    magnitude, claimed = jnp.abs(scores), frozen.claimed
    ranked = jnp.where(claimed > 0, magnitude, jnp.inf)
    thresholds = []
    for start, end, count in zip(layout.starts[:-1].tolist(), layout.starts[1:].tolist(), layout.per_tensor(claimed), strict=True):
        dropped = jnp.round((1 - frozen.density) * count).astype(jnp.int32)
        thresholds.append(jnp.sort(ranked[start:end].ravel())[dropped])
    best = (magnitude >= layout.per_row(jnp.stack(thresholds))) & (claimed > 0)
    return straight_through(best.astype(jnp.float32), magnitude)


def initial_scores(layout: PackedLayout, values: Mapping[str, np.ndarray]) -> Float[Array, "rows 64"]:
    """Weights in units of their tensor's standard deviation: the largest are kept first."""
    scaled = {name: value / max(float(np.std(value)), 1e-6) for name, value in values.items()}
    return jnp.asarray(layout.pack_on_host(layout.zeros() | scaled))

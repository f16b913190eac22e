"""The base of a further video in a bundle: the weight layers that it references, the weights that it keeps of them, and its own layer.

In PFNR (Kang et al., ICLR 2024) and WSN (Kang et al., ICML 2022), a later task reuses the frozen weights that its mask selects, and never
changes an earlier task. Here, the frozen weights are dequantised exactly as by a decoder, so earlier videos decode to the same pixels as
before. A further video adds a weight layer of its own, with its own step sizes. Only the non-zero symbols of this layer cost many bits, and
most of its symbols are zero if the base layers suit the video.
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
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer, keep_masked, split_tensors, tensors_checksum
from codec.spec_fields import write_spec
from codec.weight_masks import WeightMasks, normalised
from inr.layout import layer_specs, tensor_specs
from inr.spec import VideoSpec
from train.fit.packing import PackedLayout
from train.fit.qat import straight_through


class Frozen(NamedTuple):
    """The base layers in packed rows.

    `values` is the sum of their weights. `claimed` is 1 for a weight with a non-zero symbol in any of them, else 0. `density` is the share
    of the claimed weights that the video keeps, 0 to 1.
    """

    values: Float[Array, "rows 64"]
    claimed: Float[Array, "rows 64"]
    density: Float[Array, ""]


@dataclass(frozen=True, eq=False)
class BaseLayers:
    """A bundle to which a further video is added.

    `data` are the bundle's bytes, `model` is its content (of an empty bundle: a spec, but no layers and no videos). `density` is the share
    of the claimed weights that the video keeps, 0 to 1; with 0, it references no layer. With `every_layer`, the video references all
    layers, otherwise only the first. With `continues`, it is the next segment of the last video.
    """

    data: bytes
    model: QuantizedModel
    density: float = 1.0
    every_layer: bool = False
    continues: bool = False

    @classmethod
    def of(cls, data: bytes, density: float = 1.0) -> "BaseLayers":
        """The base in the bytes of a bundle that holds at least one video; BitstreamError if they cannot be decoded."""
        return cls(data, decode(data), density)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the weight layers that a further video may reference: its base layers."""
        count = len(self.model.layers) if self.every_layer else min(1, len(self.model.layers))
        return tuple(range(count)) if self.density else ()

    @cached_property
    def initial_values(self) -> Mapping[str, np.ndarray]:
        """The initial values of a fit, float32 by tensor name, that replace random ones.

        In a pretrained bundle, these are the sums of the base layers for all tensors. In other bundles, they are the sums for the
        convolutions that compute the canvas from its grids (`TensorSpec.warm_start`); all other tensors of another video are a bad start
        (benchmarks/EXPERIMENTS.md). If one of these kernels is all zeros, the result is empty, because none of them would have a gradient.
        """
        if bundle_settings(self.data).pretrained:
            return self.sums
        warm = {tensor.name for tensor in layer_specs(self.model.spec) if tensor.warm_start}
        painter = {name: values for name, values in self.sums.items() if name in warm}
        return painter if all(values.any() for values in painter.values() if values.ndim > 1) else {}

    @property
    def exponents(self) -> Mapping[str, int]:
        """The initial exponents of step sizes, by tensor name, that replace those computed from initial values; empty in this class."""
        return {}

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """The sums of the base layers' tensors by name, float32, added in the same order as by a decoder."""
        return self.model.layer_sum(self.layers)

    @cached_property
    def claimed(self) -> dict[str, Bool[np.ndarray, "..."]]:
        """For each tensor, True where any base layer has a non-zero symbol."""
        below = [self.model.layers[index].tensors for index in self.layers]
        return {name: np.any([layer[name].symbols != 0 for layer in below], axis=0) for name in self.sums}

    def frozen(self, layout: PackedLayout) -> Frozen | None:
        """The base layers in the rows of `layout`, with zeros for private tensors; None if there is no base layer."""
        if not self.layers:
            return None
        claimed = {name: values.astype(np.float32) for name, values in self.claimed.items()}
        values, places = (jnp.asarray(layout.pack_on_host(layout.zeros() | part)) for part in (self.sums, claimed))
        return Frozen(values, places, jnp.float32(self.density))

    def first_masks(self, layout: PackedLayout) -> WeightMasks:
        """The weight masks at the start of a fit; empty if all claimed weights are kept, or if there is no base layer."""
        frozen = self.frozen(layout)
        if frozen is None or self.density == 1:
            return {}
        return self.weight_masks(layout, initial_scores(layout, self.sums), frozen)

    def weight_masks(self, layout: PackedLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> WeightMasks:
        """The weight masks by tensor name: True for each weight that `scores` select."""
        best = layout.unpack(np.asarray(subnetwork(layout, scores, frozen)))
        return {name: best[name] > 0.5 for name in self.sums}

    def kept(self, weight_masks: WeightMasks) -> dict[str, np.ndarray]:
        """The sums of the base layers' tensors by name, float32, with zeros for the weights that `weight_masks` drop."""
        return keep_masked(self.sums, weight_masks)

    def joined(self, video: VideoSpec, tensors: dict[str, QuantizedTensor], weight_masks: WeightMasks) -> QuantizedModel:
        """The model of the bundle with one more video, whose quantised tensors are `tensors`, by name.

        The video references each base layer of which it keeps a weight, and then a layer of its own. Its own layer is omitted if all
        symbols of that layer are zero and if the video keeps all weights of its base layers.
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
        """The last video's own tensors in a model that `joined` made: its private tensors, and those of its own layer if it has one."""
        own = model.layers[-1].tensors if len(model.layers) > len(self.model.layers) else {}
        return own | model.videos[-1].tensors

    def encoded(self, model: QuantizedModel, fingerprint: bytes) -> bytes:
        """The bytes of the bundle with the records that `joined` added to `model`.

        `fingerprint` is that of the new video; it may be empty.
        """
        new = [] if self.model.layers else [(Kind.SPEC, write_spec(self.model.spec))]
        new += [(Kind.LAYER, encode_layer(layer, model.spec)) for layer in model.layers[len(self.model.layers) :]]
        new += [(Kind.VIDEO, encode_video(model, len(model.videos) - 1))]
        return self.file.with_records(new, self.fingerprints + fingerprint)

    @cached_property
    def file(self) -> AppendableFile:
        """The bundle as a file to which records can be appended."""
        return AppendableFile.of(self.data)

    @property
    def fingerprints(self) -> bytes:
        """The fingerprints of the bundle's videos, FINGERPRINT_BYTES bytes each; zeros for a video without one."""
        return self.model.fingerprints.ljust(FINGERPRINT_BYTES * len(self.model.videos), b"\0")


@dataclass(frozen=True, eq=False)
class PreviousSegment(BaseLayers):
    """The finished segments of a long video, as the base of the next segment. Its weights are coded as the difference from the last one.

    In NIRVANA (Maiya et al., CVPR 2023, section 3), the weights of a segment are those of the segment before plus a residual. Here, every
    `key_every`-th segment is a *key*, which references no other segment. A frame therefore needs at most `key_every` weight layers.
    With `new_scene`, the next segment starts with the weights of the last one, but with a canvas and other private tensors of its own.
    """

    key_every: int = 8
    new_scene: bool = False

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the weight layers that the segment before references; empty if the next segment is a key."""
        segments = len(self.model.videos)
        return self.model.videos[-1].layers if segments % self.key_every else ()

    @cached_property
    def initial_values(self) -> Mapping[str, np.ndarray]:
        """The tensors of the segment before by name, float32, without those that have values for each frame or show another scene."""
        if not self.model.videos:
            return {}
        specs = tensor_specs(self.model.spec, self.model.videos[-1].spec)
        entries = {tensor.name for tensor in specs if tensor.per_frame or (self.new_scene and tensor.private)}
        return {name: values for name, values in self.model.tensors(-1).items() if name not in entries}

    @cached_property
    def exponents(self) -> Mapping[str, int]:
        """By tensor name, the exponent of the newest of the last `key_every` segments in which the tensor has a non-zero symbol."""
        found: dict[str, int] = {}
        for entry in self.model.videos[-self.key_every :]:
            own = self.model.layers[entry.layers[-1]].tensors | entry.tensors
            found |= {name: tensor.exponent for name, tensor in own.items() if tensor.symbols.any()}
        return found


def subnetwork(layout: PackedLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> Float[Array, "rows 64"]:
    """1 for each claimed weight that the video keeps, else 0, in packed rows.

    In each tensor, the video keeps the share `frozen.density` of the claimed weights: those with the largest absolute scores. The gradient
    passes to the absolute scores unchanged (straight-through estimator). This is equation 3 of WSN.
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
    """The scores at the start of a fit: each weight divided by the standard deviation of its tensor. The largest weights are kept."""
    scaled = {name: value / max(float(np.std(value)), 1e-6) for name, value in values.items()}
    return jnp.asarray(layout.pack_on_host(layout.zeros() | scaled))

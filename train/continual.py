"""A further video on a decoder that others were fitted to: what it stands on, what it keeps of it, what it adds.

PFNR (Kang et al., ICLR 2024) and WSN (Kang et al., ICML 2022): a later task reuses the frozen weights that its mask
selects, and never changes an earlier one. Here the frozen weights are the decoder's own, dequantised, so that this
holds for the bytes; and what is added is a layer of the video's own on steps of its own, which costs what its
symbols cost: most of a layer that suits as it is stays zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from codec.bitstream import ORIGIN_BYTES, Kind, Opened
from codec.bundle import asked_of
from codec.decoder import decode
from codec.encoder import encode_layer, encode_video
from codec.fields import write_spec
from codec.masks import Masks, normalised
from codec.model import Layer, QuantizedModel, QuantizedTensor, VideoEntry, kept, split_tensors, tensors_checksum
from inr.layout import PAINTER, PER_FRAME
from inr.spec import VideoSpec
from train.qat import straight_through
from train.rows import RowLayout


class Frozen(NamedTuple):
    """The layers below as rows: their summed weights, 1 where one of them has a non-zero symbol, and what share of these is kept."""

    values: Float[Array, "rows 64"]
    claimed: Float[Array, "rows 64"]
    density: Float[Array, ""]


@dataclass(frozen=True, eq=False)
class Ground:
    """A bundle that a further video is fitted on: its bytes, and the model in them (of an empty one, a spec and nothing else)."""

    data: bytes
    model: QuantizedModel
    density: float = 1.0  # of the weights that its layers claim, what the video keeps; 0: it stands on none of them
    every_layer: bool = False  # whether to stand on all layers, or on the first alone
    continues: bool = False  # whether what is fitted are the frames after those of the last entry

    @classmethod
    def of(cls, data: bytes, density: float = 1.0) -> "Ground":
        """The ground in a bundle that holds a video at least."""
        return cls(data, decode(data), density)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers that a further video may stand on."""
        count = len(self.model.layers) if self.every_layer else min(1, len(self.model.layers))
        return tuple(range(count)) if self.density else ()

    @cached_property
    def begins(self) -> Mapping[str, np.ndarray]:
        """What a fit begins from, where not from fresh weights, float32: what paints a canvas, as it was left; of a learned layer, all.

        That alone, of another video's kernels, is worth beginning from (benchmarks/RESULTS.md); not if one is nothing but zeros,
        for then none of them has a slope.
        """
        if asked_of(self.data).learned:
            return self.sums
        painter = {name: values for name, values in self.sums.items() if name.startswith(PAINTER)}
        return painter if all(values.any() for name, values in painter.items() if name.endswith(".kernel")) else {}

    @property
    def exponents(self) -> Mapping[str, int]:
        """The steps that a fit begins from, where not from fresh ones: none here."""
        return {}

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """Their weights, summed as the decoder does, float32."""
        return self.model.ground(self.layers)

    @cached_property
    def claimed(self) -> dict[str, Bool[np.ndarray, "..."]]:
        """Where any of them has a non-zero symbol."""
        below = [self.model.layers[index].tensors for index in self.layers]
        return {name: np.any([layer[name].symbols != 0 for layer in below], axis=0) for name in self.sums}

    def frozen(self, layout: RowLayout) -> Frozen | None:
        """The ground as a fit takes it; what is private to a video is zero in it. None where there is no layer yet."""
        if not self.layers:
            return None
        zeros = {name: np.zeros(shape, np.float32) for name, shape in layout.shapes}
        claimed = {name: values.astype(np.float32) for name, values in self.claimed.items()}
        values, places = (jnp.asarray(layout.pack_on_host(zeros | part)) for part in (self.sums, claimed))
        return Frozen(values, places, jnp.float32(self.density))

    def first_masks(self, layout: RowLayout) -> Masks:
        """What a fit keeps of the ground as it begins; empty where that is all, or where there is no ground."""
        frozen = self.frozen(layout)
        if frozen is None or self.density == 1:
            return {}
        return self.masks(layout, initial_scores(layout, self.sums), frozen)

    def masks(self, layout: RowLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> Masks:
        """Which weights `scores` select."""
        best = layout.unpack(np.asarray(subnetwork(layout, scores, frozen)))
        return {name: best[name] > 0.5 for name in self.sums}

    def kept(self, masks: Masks) -> dict[str, np.ndarray]:
        """The weights that masks leave of the ground."""
        return kept(self.sums, masks)

    def joined(self, video: VideoSpec, tensors: dict[str, QuantizedTensor], masks: Masks) -> QuantizedModel:
        """The bundle with one more video: on the layers below of which it keeps anything, and on one of its own.

        A layer of its own that says nothing is left out, where all that the video stands on is kept whole.
        """
        own, private = split_tensors(tensors)

        def of_use(index: int) -> bool:
            below = self.model.layers[index].tensors
            return any(np.any((tensor.symbols != 0) & masks.get(name, np.True_)) for name, tensor in below.items())

        layers = tuple(index for index in self.layers if of_use(index))
        told = normalised(masks, self.model.claims(layers, len(self.model.videos)))
        model = self.model
        if not layers or told or any(tensor.symbols.any() for tensor in own.values()):
            layers = (*layers, len(model.layers))
            model = replace(model, layers=(*model.layers, Layer(own)))
        entry = VideoEntry(video, layers, private, told, continues=self.continues)
        model = replace(model, videos=(*model.videos, entry))
        entry = replace(entry, checksum=tensors_checksum(model.tensors(-1)))
        return replace(model, videos=(*self.model.videos, entry))

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """What is the last video's alone in a model that `joined` made: its own tensors, and its own layer's if it has one."""
        own = model.layers[-1].tensors if len(model.layers) > len(self.model.layers) else {}
        return own | model.videos[-1].tensors

    def encoded(self, model: QuantizedModel, origin: bytes) -> bytes:
        """The bundle's bytes with what `joined` added behind them."""
        new = [] if self.model.layers else [(Kind.SPEC, write_spec(self.model.spec))]
        new += [(Kind.LAYER, encode_layer(layer)) for layer in model.layers[len(self.model.layers) :]]
        new += [(Kind.VIDEO, encode_video(model, len(model.videos) - 1))]
        return self.opened.with_records(new, self.origins + origin)

    @cached_property
    def opened(self) -> Opened:
        """The bytes to append to."""
        return Opened.of(self.data)

    @property
    def origins(self) -> bytes:
        """The origins of the videos so far; zeros for those that have none."""
        return self.model.origin.ljust(ORIGIN_BYTES * len(self.model.videos), b"\0")


@dataclass(frozen=True, eq=False)
class Chain(Ground):
    """A video's groups so far, that its next one follows: it begins as the last one's network, and is coded as what changes.

    NIRVANA (Maiya et al., CVPR 2023, section 3): a group's weights are the group's before and a residual. Every `key_every`-th group
    stands on no other, so that a frame is decoded from at most so many layers.
    """

    key_every: int = 8

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Those of the group before; none for a key."""
        groups = len(self.model.videos)
        return self.model.videos[-1].layers if groups % self.key_every else ()

    @cached_property
    def begins(self) -> Mapping[str, np.ndarray]:
        """The last group's network: all of it but what each frame has of its own."""
        if not self.model.videos:
            return {}
        return {name: values for name, values in self.model.tensors(-1).items() if not name.startswith(PER_FRAME)}

    @cached_property
    def exponents(self) -> Mapping[str, int]:
        """The last steps, since the last key at least, of each tensor that had any symbol but zero."""
        found: dict[str, int] = {}
        for entry in self.model.videos[-self.key_every :]:
            own = self.model.layers[entry.layers[-1]].tensors | entry.tensors
            found |= {name: tensor.exponent for name, tensor in own.items() if tensor.symbols.any()}
        return found


def subnetwork(layout: RowLayout, scores: Float[Array, "rows 64"], frozen: Frozen) -> Float[Array, "rows 64"]:
    """1 for the best share, by absolute score, of each tensor's claimed weights, else 0; the gradient of the absolute score.

    WSN, equation 3: the top c per cent of each layer, straight through.
    """
    magnitude, claimed = jnp.abs(scores), frozen.claimed
    ranked = jnp.where(claimed > 0, magnitude, jnp.inf)
    thresholds = []
    for start, end, count in zip(layout.starts[:-1].tolist(), layout.starts[1:].tolist(), layout.per_tensor(claimed), strict=True):
        dropped = jnp.round((1 - frozen.density) * count).astype(jnp.int32)
        thresholds.append(jnp.sort(ranked[start:end].ravel())[dropped])
    best = (magnitude >= layout.per_row(jnp.stack(thresholds))) & (claimed > 0)
    return straight_through(best.astype(jnp.float32), magnitude)


def initial_scores(layout: RowLayout, values: Mapping[str, np.ndarray]) -> Float[Array, "rows 64"]:
    """Weights in units of their tensor's deviation: the largest are kept first."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in layout.shapes}
    scaled = {name: value / max(float(np.std(value)), 1e-6) for name, value in values.items()}
    return jnp.asarray(layout.pack_on_host(zeros | scaled))

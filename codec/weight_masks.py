"""Weight masks: for each tensor, a mask says which claimed weights of earlier weight layers a video keeps.

PFNR (Kang et al., ICLR 2024) gives every video a binary mask over the weights of one network and does not count its bits. Here a mask
covers only claimed weights: those with a non-zero symbol in a base layer, which is a weight layer that the video references before its
own. If a video keeps all or none of a tensor's claimed weights, only the mode is stored. Otherwise the mask is coded by output channels
or by weights, whichever takes fewer bits. A claimed weight has one of four contexts, each with a probability of its own: the previous
video uses the weight or not, and the sum of the magnitudes of its symbols is larger than 1 or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import log2

import numpy as np
from jaxtyping import Bool, Int32

from codec.range_coder import SHARE_BITS, RangeReader, RangeWriter

MODE_BITS = 2  # bits that store a Mode
CONTEXTS = 4  # the number of contexts that a claimed weight can have

WeightMasks = Mapping[str, Bool[np.ndarray, "..."]]  # by name of tensor; all weights of a tensor without a mask are kept


class Mode(IntEnum):
    """The ways to code the mask of a tensor."""

    ALL = 0  # all claimed weights are kept
    NONE = 1  # no claimed weight is kept
    CHANNELS = 2  # one bit for each output channel with a claimed weight
    WEIGHTS = 3  # one bit for each claimed weight, context by context


@dataclass(frozen=True, eq=False)
class Claims:
    """The facts about a tensor that a decoder knows before it reads the mask: True for claimed weights, and contexts (0..3) of weights."""

    claimed: Bool[np.ndarray, "..."]
    contexts: Int32[np.ndarray, "..."]

    @classmethod
    def of(cls, symbols: Sequence[Int32[np.ndarray, "..."]], used: Bool[np.ndarray, "..."]) -> "Claims":
        """The claims of one tensor, from its `symbols` in each base layer. `used` is True for weights that the previous video uses."""
        magnitude = np.abs(np.stack(symbols)).sum(axis=0)
        return cls(magnitude > 0, used + 2 * (magnitude > 1).astype(np.int32))

    def channels(self) -> Bool[np.ndarray, " d"]:
        """True for each output channel (last axis) that has a claimed weight."""
        return np.any(self.claimed.reshape(-1, self.claimed.shape[-1]), axis=0)


def by_channels(mask: Bool[np.ndarray, "..."], claims: Claims) -> Bool[np.ndarray, " d"] | None:
    """The mask as one bit for each output channel with claims. None if the mask keeps only some of the claimed weights of a channel."""
    flat, claimed = (a.reshape(-1, a.shape[-1]) for a in (mask, claims.claimed))
    some, every = np.any(flat & claimed, axis=0), np.all(flat | ~claimed, axis=0)
    return some[claims.channels()] if np.array_equal(some, every & claims.channels()) else None


def quantised_share(bits: Bool[np.ndarray, " n"]) -> int:
    """The share of set bits in `bits` as an integer s of SHARE_BITS bits, which stands for (2 * s + 1) / 256."""
    return min(int(bits.mean() * (1 << SHARE_BITS)), (1 << SHARE_BITS) - 1)


def bits_under(bits: Bool[np.ndarray, " n"], share: int) -> float:
    """The number of bits that code `bits` with the probability (2 * share + 1) / 256 of a set bit, plus SHARE_BITS for `share` itself."""
    mass, ones = (2 * share + 1) / 256, int(bits.sum())
    return SHARE_BITS - ones * log2(mass) - (len(bits) - ones) * log2(1 - mass)


def parts(mask: Bool[np.ndarray, "..."], claims: Claims) -> list[Bool[np.ndarray, " n"]]:
    """The bits of the mask for the claimed weights: one array for each context."""
    return [mask[claims.claimed & (claims.contexts == context)] for context in range(CONTEXTS)]


def best_mode(mask: Bool[np.ndarray, "..."], claims: Claims) -> Mode:
    """The mode that codes the mask of a tensor with claims in the fewest bits."""
    kept = mask[claims.claimed]
    if kept.all():
        return Mode.ALL
    if not kept.any():
        return Mode.NONE
    channels = by_channels(mask, claims)
    by_weights = sum(bits_under(bits, quantised_share(bits)) for bits in parts(mask, claims) if len(bits))
    return Mode.WEIGHTS if channels is None or by_weights < bits_under(channels, quantised_share(channels)) else Mode.CHANNELS


def weight_mask_bits(mask: Bool[np.ndarray, "..."], claims: Claims) -> float:
    """The number of bits that code the mask of a tensor; 0 for a tensor without claims."""
    if not claims.claimed.any():
        return 0.0
    match best_mode(mask, claims):
        case Mode.CHANNELS:
            coded = [bits for bits in [by_channels(mask, claims)] if bits is not None]
        case Mode.WEIGHTS:
            coded = parts(mask, claims)
        case _:
            coded = []
    return MODE_BITS + sum(bits_under(bits, quantised_share(bits)) for bits in coded if len(bits))


def write_weight_masks(writer: RangeWriter, weight_masks: WeightMasks, claims: Mapping[str, Claims]) -> None:
    """Write the mask of every tensor with claims, in the order of `claims`."""
    for name, tensor_claims in claims.items():
        if tensor_claims.claimed.any():
            write_weight_mask(writer, weight_masks.get(name, np.ones_like(tensor_claims.claimed)), tensor_claims)


def write_weight_mask(writer: RangeWriter, mask: Bool[np.ndarray, "..."], claims: Claims) -> None:
    """Write the mode of a mask and, for CHANNELS and WEIGHTS, the bits of the mask."""
    mode = best_mode(mask, claims)
    writer.integer(mode, MODE_BITS)
    if mode is Mode.CHANNELS:
        write_bits(writer, by_channels(mask, claims))
    if mode is Mode.WEIGHTS:
        for bits in parts(mask, claims):
            write_bits(writer, bits)


def write_bits(writer: RangeWriter, bits: Bool[np.ndarray, " n"] | None) -> None:
    """Write the share of set bits, then the bits. If `bits` is None or empty, nothing is written."""
    if bits is not None and len(bits):
        share = quantised_share(bits)
        writer.integer(share, SHARE_BITS)
        writer.bits(bits, share)


def read_weight_masks(reader: RangeReader, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """Read the masks that `write_weight_masks` wrote, by tensor. Masks that keep all weights are left out."""
    masks = {name: read_weight_mask(reader, known) for name, known in claims.items() if known.claimed.any()}
    return {name: mask for name, mask in masks.items() if not mask.all()}


def read_weight_mask(reader: RangeReader, claims: Claims) -> Bool[np.ndarray, "..."]:
    """Read the mask that `write_weight_mask` wrote. It is True for weights without a claim."""
    mask = np.ones_like(claims.claimed)
    match reader.integer(MODE_BITS):
        case Mode.ALL:
            pass
        case Mode.NONE:
            mask &= ~claims.claimed
        case Mode.CHANNELS:
            kept = np.ones(mask.shape[-1], bool)
            kept[claims.channels()] = read_bits(reader, int(claims.channels().sum()))
            mask &= kept | ~claims.claimed
        case _:
            for context in range(CONTEXTS):
                inside = claims.claimed & (claims.contexts == context)
                mask[inside] = read_bits(reader, int(inside.sum()))
    return mask


def read_bits(reader: RangeReader, count: int) -> Bool[np.ndarray, " n"]:
    """Read `count` bits that `write_bits` wrote."""
    return reader.bits(count, reader.integer(SHARE_BITS)) if count else np.zeros(0, bool)


def normalised(weight_masks: WeightMasks, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """Convert masks to the form of `read_weight_masks`: True for weights without a claim; masks that keep all weights are left out."""
    coded = {name: np.asarray(mask) | ~claims[name].claimed for name, mask in weight_masks.items() if name in claims}
    return {name: mask for name, mask in coded.items() if not mask.all()}

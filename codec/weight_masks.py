"""A weight mask tells which of the weights that earlier layers claimed are kept by a video.

PFNR (Kang et al., ICLR 2024) gives every video a binary mask over the weights of one network and does not count its bits. Here a mask
covers only claimed weights: those with a non-zero symbol in a base layer, which is a weight layer that the video references before its
own. If a video keeps all or none of a tensor's claimed weights, the mode alone says so. Otherwise the mask is coded by output channels or
by weights, whichever takes fewer bits. A weight's context is whether the previous video uses it, and whether its symbol is larger than 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import log2

import numpy as np
from jaxtyping import Bool, Int32

from codec.range_coder import SHARE_BITS, RangeReader, RangeWriter

MODE_BITS = 2  # bits of a mode
CONTEXTS = 4  # contexts of a claimed weight

WeightMasks = Mapping[str, Bool[np.ndarray, "..."]]  # by tensor; a tensor that is not listed is kept whole


class Mode(IntEnum):
    """The coding of a tensor's mask."""

    ALL = 0  # all claimed weights are kept
    NONE = 1  # none is kept
    CHANNELS = 2  # one bit for each output channel with a claimed weight
    WEIGHTS = 3  # one bit for each claimed weight, context by context


@dataclass(frozen=True, eq=False)
class Claims:
    """The facts that a decoder knows of a tensor before its mask: which weights are claimed, and the context of each (0 to 3)."""

    claimed: Bool[np.ndarray, "..."]
    contexts: Int32[np.ndarray, "..."]

    @classmethod
    def of(cls, symbols: Sequence[Int32[np.ndarray, "..."]], used: Bool[np.ndarray, "..."]) -> "Claims":
        """The claims of a tensor with `symbols` in each of some layers; `used` marks the weights that the previous video uses."""
        magnitude = np.abs(np.stack(symbols)).sum(axis=0)
        return cls(magnitude > 0, used + 2 * (magnitude > 1).astype(np.int32))

    def channels(self) -> Bool[np.ndarray, " d"]:
        """True for each output channel (last axis) that has a claimed weight."""
        return np.any(self.claimed.reshape(-1, self.claimed.shape[-1]), axis=0)


def by_channels(mask: Bool[np.ndarray, "..."], claims: Claims) -> Bool[np.ndarray, " d"] | None:
    """The mask as one bit for each output channel with claims; None if a channel keeps only some of its claimed weights."""
    flat, claimed = (a.reshape(-1, a.shape[-1]) for a in (mask, claims.claimed))
    some, every = np.any(flat & claimed, axis=0), np.all(flat | ~claimed, axis=0)
    return some[claims.channels()] if np.array_equal(some, every & claims.channels()) else None


def quantised_share(bits: Bool[np.ndarray, " n"]) -> int:
    """The share of set bits as an integer of SHARE_BITS bits."""
    return min(int(bits.mean() * (1 << SHARE_BITS)), (1 << SHARE_BITS) - 1)


def bits_under(bits: Bool[np.ndarray, " n"], share: int) -> float:
    """Bits to code `bits` if a share of (2 `share` + 1) / 256 is expected to be set; the bits of `share` itself are included."""
    mass, ones = (2 * share + 1) / 256, int(bits.sum())
    return SHARE_BITS - ones * log2(mass) - (len(bits) - ones) * log2(1 - mass)


def parts(mask: Bool[np.ndarray, "..."], claims: Claims) -> list[Bool[np.ndarray, " n"]]:
    """The mask's bits of the claimed weights, one array for each context."""
    return [mask[claims.claimed & (claims.contexts == context)] for context in range(CONTEXTS)]


def best_mode(mask: Bool[np.ndarray, "..."], claims: Claims) -> Mode:
    """The mode that codes a mask in the fewest bits."""
    kept = mask[claims.claimed]
    if kept.all():
        return Mode.ALL
    if not kept.any():
        return Mode.NONE
    channels = by_channels(mask, claims)
    by_weights = sum(bits_under(bits, quantised_share(bits)) for bits in parts(mask, claims) if len(bits))
    return Mode.WEIGHTS if channels is None or by_weights < bits_under(channels, quantised_share(channels)) else Mode.CHANNELS


def weight_mask_bits(mask: Bool[np.ndarray, "..."], claims: Claims) -> float:
    """The bits that a mask takes; 0 for a tensor without claims."""
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
    """Write the mask of every tensor with claims."""
    for name, tensor_claims in claims.items():
        if tensor_claims.claimed.any():
            write_weight_mask(writer, weight_masks.get(name, np.ones_like(tensor_claims.claimed)), tensor_claims)


def write_weight_mask(writer: RangeWriter, mask: Bool[np.ndarray, "..."], claims: Claims) -> None:
    """Write a mask's mode and, if the mode needs them, its bits."""
    mode = best_mode(mask, claims)
    writer.integer(mode, MODE_BITS)
    if mode is Mode.CHANNELS:
        write_bits(writer, by_channels(mask, claims))
    if mode is Mode.WEIGHTS:
        for bits in parts(mask, claims):
            write_bits(writer, bits)


def write_bits(writer: RangeWriter, bits: Bool[np.ndarray, " n"] | None) -> None:
    """Write the share of set bits and the bits; nothing if there are no bits."""
    if bits is not None and len(bits):
        share = quantised_share(bits)
        writer.integer(share, SHARE_BITS)
        writer.bits(bits, share)


def read_weight_masks(reader: RangeReader, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """The masks that `write_weight_masks` wrote, without those that keep all weights."""
    masks = {name: read_weight_mask(reader, known) for name, known in claims.items() if known.claimed.any()}
    return {name: mask for name, mask in masks.items() if not mask.all()}


def read_weight_mask(reader: RangeReader, claims: Claims) -> Bool[np.ndarray, "..."]:
    """The mask that `write_weight_mask` wrote; True for weights without a claim."""
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
    """The `count` bits that `write_bits` wrote."""
    return reader.bits(count, reader.integer(SHARE_BITS)) if count else np.zeros(0, bool)


def normalised(weight_masks: WeightMasks, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """Weight masks as `read_weight_masks` returns them: True for weights without a claim, and without masks that keep all weights."""
    coded = {name: np.asarray(mask) | ~claims[name].claimed for name, mask in weight_masks.items() if name in claims}
    return {name: mask for name, mask in coded.items() if not mask.all()}

"""Which of the weights that earlier layers claimed a video keeps: coded with what is known of each, or by whole channels.

PFNR (Kang et al., ICLR 2024) gives every video a binary mask over the weights of one network and counts none of its bits.
Here a mask speaks of claimed weights only (those with a non-zero symbol in a layer the video stands on, its own
excepted), says nothing where all or none of a tensor's are kept, and is otherwise coded by channels or by
weights, whichever takes less. A weight's context is whether the video before uses it, and whether its symbol is larger than 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import log2

import numpy as np
from jaxtyping import Bool, Int32

from codec.range_coder import SHARE_BITS, RangeReader, RangeWriter

MODE_BITS = 2
CONTEXTS = 4

WeightMasks = Mapping[str, Bool[np.ndarray, "..."]]  # by tensor; what is not listed is kept


class Mode(IntEnum):
    """How a tensor's mask is coded."""

    ALL = 0
    NONE = 1
    CHANNELS = 2  # a bit an output channel
    WEIGHTS = 3  # a bit a claimed weight


@dataclass(frozen=True, eq=False)
class Claims:
    """What is known of a tensor before its mask: which weights are claimed, and each one's context."""

    claimed: Bool[np.ndarray, "..."]
    contexts: Int32[np.ndarray, "..."]

    @classmethod
    def of(cls, symbols: Sequence[Int32[np.ndarray, "..."]], used: Bool[np.ndarray, "..."]) -> "Claims":
        """Claims of a tensor by its `symbols` in some layers; `used` are the weights that the video before uses."""
        magnitude = np.abs(np.stack(symbols)).sum(axis=0)
        return cls(magnitude > 0, used + 2 * (magnitude > 1).astype(np.int32))

    def channels(self) -> Bool[np.ndarray, " d"]:
        """Output channels that have a claimed weight."""
        return np.any(self.claimed.reshape(-1, self.claimed.shape[-1]), axis=0)


def by_channels(mask: Bool[np.ndarray, "..."], claims: Claims) -> Bool[np.ndarray, " d"] | None:
    """The mask as a bit an output channel (of those with claims); None if it is not one."""
    flat, claimed = (a.reshape(-1, a.shape[-1]) for a in (mask, claims.claimed))
    some, every = np.any(flat & claimed, axis=0), np.all(flat | ~claimed, axis=0)
    return some[claims.channels()] if np.array_equal(some, every & claims.channels()) else None


def quantised_share(bits: Bool[np.ndarray, " n"]) -> int:
    """The share of set bits, in the coder's 128 levels."""
    return min(int(bits.mean() * (1 << SHARE_BITS)), (1 << SHARE_BITS) - 1)


def bits_under(bits: Bool[np.ndarray, " n"], share: int) -> float:
    """Information of `bits` when (2 `share` + 1) / 256 of them are expected to be set, the share included."""
    mass, ones = (2 * share + 1) / 256, int(bits.sum())
    return SHARE_BITS - ones * log2(mass) - (len(bits) - ones) * log2(1 - mass)


def parts(mask: Bool[np.ndarray, "..."], claims: Claims) -> list[Bool[np.ndarray, " n"]]:
    """A mask's bits over claimed weights, context by context."""
    return [mask[claims.claimed & (claims.contexts == context)] for context in range(CONTEXTS)]


def best_mode(mask: Bool[np.ndarray, "..."], claims: Claims) -> Mode:
    """The mode that tells a mask in the fewest bits."""
    kept = mask[claims.claimed]
    if kept.all():
        return Mode.ALL
    if not kept.any():
        return Mode.NONE
    channels = by_channels(mask, claims)
    single = sum(bits_under(bits, quantised_share(bits)) for bits in parts(mask, claims) if len(bits))
    return Mode.WEIGHTS if channels is None or single < bits_under(channels, quantised_share(channels)) else Mode.CHANNELS


def weight_mask_bits(mask: Bool[np.ndarray, "..."], claims: Claims) -> float:
    """What a mask takes, in bits."""
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
    """A mode for every tensor with claims, and the bits that it asks for."""
    for name, known in claims.items():
        if known.claimed.any():
            write_weight_mask(writer, weight_masks.get(name, np.ones_like(known.claimed)), known)


def write_weight_mask(writer: RangeWriter, mask: Bool[np.ndarray, "..."], claims: Claims) -> None:
    mode = best_mode(mask, claims)
    writer.integer(mode, MODE_BITS)
    if mode is Mode.CHANNELS:
        write_bits(writer, by_channels(mask, claims))
    if mode is Mode.WEIGHTS:
        for bits in parts(mask, claims):
            write_bits(writer, bits)


def write_bits(writer: RangeWriter, bits: Bool[np.ndarray, " n"] | None) -> None:
    if bits is not None and len(bits):
        share = quantised_share(bits)
        writer.integer(share, SHARE_BITS)
        writer.bits(bits, share)


def read_weight_masks(reader: RangeReader, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """What `write_weight_masks` wrote; masks that keep all are left out."""
    masks = {name: read_weight_mask(reader, known) for name, known in claims.items() if known.claimed.any()}
    return {name: mask for name, mask in masks.items() if not mask.all()}


def read_weight_mask(reader: RangeReader, claims: Claims) -> Bool[np.ndarray, "..."]:
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
                here = claims.claimed & (claims.contexts == context)
                mask[here] = read_bits(reader, int(here.sum()))
    return mask


def read_bits(reader: RangeReader, count: int) -> Bool[np.ndarray, " n"]:
    return reader.bits(count, reader.integer(SHARE_BITS)) if count else np.zeros(0, bool)


def normalised(weight_masks: WeightMasks, claims: Mapping[str, Claims]) -> dict[str, Bool[np.ndarray, "..."]]:
    """WeightMasks as a reader gives them: True wherever nothing is claimed, and none that keeps all."""
    coded = {name: np.asarray(mask) | ~claims[name].claimed for name, mask in weight_masks.items() if name in claims}
    return {name: mask for name, mask in coded.items() if not mask.all()}

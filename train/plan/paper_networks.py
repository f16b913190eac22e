"""The papers' networks, sized by their own rules where they have one; `train.plan.presets` plans with them."""

import math
from collections.abc import Callable

from inr.layout import weights
from inr.spec import BlockSpec, Embeddings, NeighboursSpec, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

PAPER_EMBEDDING = 16  # embedding channels of HNeRV, table 17
LEVELS = 40  # frequencies of NeRV's code of time, of base 1.25
NARROWEST = 12  # channels that a block keeps at least, where a network has no paper's width
CELLS = 9  # of first features along the short side, in NeRV and what came of it
STRIDES = ((1,), (2,), (2, 2), (2, 2, 2), (2, 2, 2, 2), (5, 2, 2), (5, 2, 2, 2), (5, 2, 2, 2, 2), (5, 3, 2, 2, 2), (5, 3, 2, 2, 2, 2))
HNERV_STRIDES = (
    (5, 4, 4, 3, 2), (5, 4, 4, 2, 2), (5, 4, 3, 2, 2), (4, 4, 3, 2, 2), (4, 4, 2, 2, 2), (5, 4, 2, 2), (4, 4, 2, 2), (4, 3, 2, 2),
    (4, 2, 2, 2), (5, 2, 2), (4, 2, 2), (2, 2, 2), (2, 2), (2,), (1,),
)  # fmt: skip
CONV_GROUPS = 8  # of FFNeRV's compact convolutions
NEIGHBOURS = (-2, -1, 1, 2)
NIRVANA_SEGMENT = 4  # frames that share a network, where nothing else is asked for; 3 in the paper
MOST_UNITS = 4096


def largest(family: Callable[[int], NetworkSpec], video: VideoSpec, size: float) -> NetworkSpec:
    """The largest network of a growing family that has at most `size` weights; its smallest where none has."""
    low, high = 1, MOST_UNITS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weights(family(middle), video) <= size else (low, middle - 1)
    return family(low)


# HNeRV


def hnerv_strides(height: int, width: int) -> tuple[int, ...]:
    """The paper's strides (table 17) where two cells along the short side are left; for smaller pictures, as many as leave two."""
    return next(strides for strides in HNERV_STRIDES if math.prod(strides) <= max(1, min(height, width) / 2))


def hnerv_spec(video: VideoSpec, size: float, strides: tuple[int, ...] | None = None) -> NetworkSpec:
    """HNeRV of about `size` weights by its own sizing rule (section 3.2 and the public code), reduction 1.2.

    The first width solves a w^2 + b w = size - embeddings for the blocks alone; as in the paper's code the stem
    counts nine times its weights, and head and biases not at all.
    """
    strides = strides or hnerv_strides(video.height, video.width)
    reduction = 1.2
    kernels = [min(1 + 2 * index, 5) for index in range(len(strides))]
    scale = math.prod(strides)
    embedding = PAPER_EMBEDDING * video.height * video.width * video.frames / scale**2
    quadratic = sum(reduction ** (-2 * i - 1) * (s * k) ** 2 for i, (s, k) in enumerate(zip(strides, kernels, strict=True)))
    linear = 9 * PAPER_EMBEDDING
    left = max(size - embedding, 1.0)
    stem = max(1, int((-linear + math.sqrt(linear**2 + 4 * quadratic * left)) / (2 * quadratic)))
    blocks, previous = [], stem
    for stride, kernel in zip(strides, kernels, strict=True):
        previous = max(round(previous / reduction), NARROWEST)
        blocks.append(BlockSpec(previous, stride, kernel))
    return NetworkSpec(Embeddings(PAPER_EMBEDDING), stem, tuple(blocks), head_kernel=3, head_stride=1, bounded=True)


def hnerv_within(video: VideoSpec, size: float) -> NetworkSpec:
    """The largest HNeRV of at most `size` weights that the paper's rule gives; in small networks the rule alone gives twice as many."""
    return largest(lambda hundreds: hnerv_spec(video, 100.0 * hundreds), video, size)


# NeRV and NeRV++


def nerv_strides(height: int, width: int) -> tuple[int, ...]:
    """The paper's strides for its sizes; for others, about CELLS first cells along the short side and little padding."""
    short = min(height, width)

    def misfit(strides: tuple[int, ...]) -> float:
        scale = math.prod(strides)
        padded = math.ceil(height / scale) * math.ceil(width / scale) * scale**2 / (height * width)
        return padded - 1 + abs(math.log2(short / scale / CELLS))

    return min(STRIDES, key=misfit)


def nerv(video: VideoSpec, channels: int, hidden: int, narrowest: int, separable: int = 0, skip: bool = False) -> NetworkSpec:
    """NeRV whose first features have `channels`; widths halve from block to block, not below `narrowest`.

    The paper's S, M and L for 720 x 1280 are 26, 58 and 112 channels, 512 hidden, 96 at the narrowest; in NeRV++ 80.
    """
    strides = nerv_strides(video.height, video.width)
    widths = [channels, *(max(channels >> (index + 1), narrowest) for index in range(len(strides) - 1))]
    blocks = tuple(BlockSpec(width, stride, 3, separable=separable, skip=skip) for width, stride in zip(widths, strides, strict=True))
    return NetworkSpec(Positions(LEVELS, hidden), channels, blocks, head_kernel=1, head_stride=1, bounded=True)


def nerv_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV of at most `size` weights: hidden layer and first features grow together."""
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST), video, size)


def nerv_plus_plus_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV++ (Ghorbel et al., 2024) of at most `size` weights: separable residual blocks around each upsampler, bilinear skips."""
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST, separable=3, skip=True), video, size)


# FFNeRV


def ffnerv(video: VideoSpec, channels: int, lengths: tuple[int, ...], expansion: int, narrowest: int) -> NetworkSpec:
    """FFNeRV on grids of `channels` altogether; its compact blocks, but the first, whose convolution stays whole."""
    strides = nerv_strides(video.height, video.width)
    widths = [channels * expansion]
    while len(widths) < len(strides):
        widths.append(max(widths[-1] // 2 // CONV_GROUPS * CONV_GROUPS, narrowest))
    blocks = tuple(
        BlockSpec(width, stride, 3, conv_groups=CONV_GROUPS if index else 1)
        for index, (width, stride) in enumerate(zip(widths, strides, strict=True))
    )
    neighbours = NeighboursSpec(NEIGHBOURS, max(len(blocks) - 3, 0)) if video.frames > 1 else None
    return NetworkSpec(TimeGrids(lengths), channels, blocks, 1, 1, bounded=True, neighbours=neighbours)


def ffnerv_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """FFNeRV of at most `size` weights, its grids half as long as the clip and as long, as the paper's for compression."""
    lengths = (-(-video.frames // 2), video.frames)

    def family(unit: int) -> NetworkSpec:
        # Eight channels a group, so that every width can be grouped.
        return ffnerv(video, 2 * unit, lengths, CONV_GROUPS, 2 * CONV_GROUPS)

    return largest(family, video, size)


# NIRVANA


def nirvana_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NIRVANA of at most `size` weights: three layers of sines, one block and the head, all growing together.

    The paper's patches of 32 pixels have features at half the picture's size; here those of 16 have them at an eighth, where the
    last layer is small enough for short groups.
    """

    def family(unit: int) -> NetworkSpec:
        features = 4 * max(1, unit // 2)
        return NetworkSpec(Patches(16, 8 * unit, 3), features, (BlockSpec(features, 2, 3),), 3, 4)

    return largest(family, video, size)

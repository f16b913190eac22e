"""The networks of the papers. A paper's own sizing rule is used if it has one. `train.plan.presets` plans with these networks."""

import math
from collections.abc import Callable

from inr.layout import weights
from inr.spec import BlockSpec, Embeddings, NeighboursSpec, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

PAPER_EMBEDDING = 16  # channels of an embedding (HNeRV, table 17)
LEVELS = 40  # frequencies of NeRV's code of time, which has the base 1.25
NARROWEST = 12  # fewest channels of a block whose width is not given by a paper
CELLS = 9  # cells of the first features along the short side, in NeRV and its successors
STRIDES = ((1,), (2,), (2, 2), (2, 2, 2), (2, 2, 2, 2), (5, 2, 2), (5, 2, 2, 2), (5, 2, 2, 2, 2), (5, 3, 2, 2, 2), (5, 3, 2, 2, 2, 2))
HNERV_STRIDES = (
    (5, 4, 4, 3, 2), (5, 4, 4, 2, 2), (5, 4, 3, 2, 2), (4, 4, 3, 2, 2), (4, 4, 2, 2, 2), (5, 4, 2, 2), (4, 4, 2, 2), (4, 3, 2, 2),
    (4, 2, 2, 2), (5, 2, 2), (4, 2, 2), (2, 2, 2), (2, 2), (2,), (1,),
)  # fmt: skip
CONV_GROUPS = 8  # groups of FFNeRV's compact convolutions
NEIGHBOURS = (-2, -1, 1, 2)  # frames that FFNeRV also reads, relative to the frame
NIRVANA_SEGMENT = 4  # frames that share a network by default; 3 in the paper
MOST_UNITS = 4096  # of a family's growth parameter


def largest(family: Callable[[int], NetworkSpec], video: VideoSpec, size: float) -> NetworkSpec:
    """The largest network of `family`, which grows with its argument, with at most `size` weights; the smallest if none is small enough."""
    low, high = 1, MOST_UNITS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weights(family(middle), video) <= size else (low, middle - 1)
    return family(low)


# HNeRV


def hnerv_strides(height: int, width: int) -> tuple[int, ...]:
    """The paper's strides (table 17) if they leave two cells along the short side; for smaller pictures, fewer or smaller strides."""
    return next(strides for strides in HNERV_STRIDES if math.prod(strides) <= max(1, min(height, width) / 2))


def hnerv_spec(video: VideoSpec, size: float, strides: tuple[int, ...] | None = None) -> NetworkSpec:
    """HNeRV of about `size` weights by its own sizing rule (section 3.2 and the public code), reduction 1.2.

    The stem's width w solves a w^2 + b w = size - embeddings, where the left side counts the weights of stem and blocks. As in the public
    code, the stem counts nine times its weights, and head and biases are not counted.
    """
    strides = strides or hnerv_strides(video.height, video.width)
    reduction = 1.2
    kernels = [min(1 + 2 * index, 5) for index in range(len(strides))]
    scale = math.prod(strides)
    embedding = PAPER_EMBEDDING * video.height * video.width * video.frames / scale**2
    quadratic = sum(reduction ** (-2 * i - 1) * (s * k) ** 2 for i, (s, k) in enumerate(zip(strides, kernels, strict=True)))
    linear = 9 * PAPER_EMBEDDING
    remaining = max(size - embedding, 1.0)
    stem = max(1, int((-linear + math.sqrt(linear**2 + 4 * quadratic * remaining)) / (2 * quadratic)))
    blocks, width = [], stem
    for stride, kernel in zip(strides, kernels, strict=True):
        width = max(round(width / reduction), NARROWEST)
        blocks.append(BlockSpec(width, stride, kernel))
    return NetworkSpec(Embeddings(PAPER_EMBEDDING), stem, tuple(blocks), head_kernel=3, head_stride=1, bounded=True)


def hnerv_within(video: VideoSpec, size: float) -> NetworkSpec:
    """The largest HNeRV by the paper's rule with at most `size` weights; the rule alone gives small networks twice as many."""
    return largest(lambda hundreds: hnerv_spec(video, 100.0 * hundreds), video, size)


# NeRV and NeRV++


def nerv_strides(height: int, width: int) -> tuple[int, ...]:
    """The strides that leave about CELLS cells along the short side with little padding; the paper's strides for its frame sizes."""
    short = min(height, width)

    def misfit(strides: tuple[int, ...]) -> float:
        scale = math.prod(strides)
        padded = math.ceil(height / scale) * math.ceil(width / scale) * scale**2 / (height * width)
        return padded - 1 + abs(math.log2(short / scale / CELLS))

    return min(STRIDES, key=misfit)


def nerv(video: VideoSpec, channels: int, hidden: int, narrowest: int, separable: int = 0, skip: bool = False) -> NetworkSpec:
    """NeRV (Chen et al., NeurIPS 2021) with `channels` first features. Widths halve from block to block, but not below `narrowest`.

    The paper's S, M and L for frames of 1280 x 720 pixels have 26, 58 and 112 channels, `hidden` 512 and `narrowest` 96 (NeRV++: 80).
    """
    strides = nerv_strides(video.height, video.width)
    widths = [channels, *(max(channels >> (index + 1), narrowest) for index in range(len(strides) - 1))]
    blocks = tuple(BlockSpec(width, stride, 3, separable=separable, skip=skip) for width, stride in zip(widths, strides, strict=True))
    return NetworkSpec(Positions(LEVELS, hidden), channels, blocks, head_kernel=1, head_stride=1, bounded=True)


def nerv_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV with at most `size` weights: the hidden layer and the first features grow together."""
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST), video, size)


def nerv_plus_plus_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV++ (Ghorbel et al., 2024) with at most `size` weights: separable residual blocks around each convolution, bilinear skips."""
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST, separable=3, skip=True), video, size)


# FFNeRV


def ffnerv(video: VideoSpec, channels: int, lengths: tuple[int, ...], expansion: int, narrowest: int) -> NetworkSpec:
    """FFNeRV (Lee et al., 2023) with `channels` in all grids together. All blocks but the first are compact (convolutions in groups)."""
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
    """FFNeRV with at most `size` weights. Its grids have half as many and as many entries as frames, as in the paper's compression."""
    lengths = (-(-video.frames // 2), video.frames)

    def family(unit: int) -> NetworkSpec:
        # Widths are multiples of CONV_GROUPS, so that every convolution can be split into groups.
        return ffnerv(video, 2 * unit, lengths, CONV_GROUPS, 2 * CONV_GROUPS)

    return largest(family, video, size)


# NIRVANA


def nirvana_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NIRVANA (Maiya et al., CVPR 2023) with at most `size` weights: three layers of sines, one block and the head grow together.

    In the paper, a patch has 32 x 32 pixels, and its features have half of the picture's resolution. Here a patch has 16 x 16 pixels, and
    its features have an eighth of the resolution, which makes the last layer small enough for short segments.
    """

    def family(unit: int) -> NetworkSpec:
        features = 4 * max(1, unit // 2)
        return NetworkSpec(Patches(16, 8 * unit, 3), features, (BlockSpec(features, 2, 3),), 3, 4)

    return largest(family, video, size)

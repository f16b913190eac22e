"""The networks of published papers, sized to a number of weights; by the paper's own rule for sizes if it has one."""

import math
from collections.abc import Callable
from dataclasses import replace

from inr.layout import weights
from inr.pixels import CHANNELS
from inr.spec import BlockSpec, Embeddings, FourierFeatures, NeighboursSpec, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

PAPER_EMBEDDING = 16  # channels of an embedding (HNeRV, table 17)
LEVELS = 40  # frequencies of NeRV's positional encoding of time, whose base is 1.25
NARROWEST = 12  # fewest channels of a block for which no paper gives a number
CELLS = 9  # cells of the first features along the short side, in NeRV and its successors
STRIDES = ((1,), (2,), (2, 2), (2, 2, 2), (2, 2, 2, 2), (5, 2, 2), (5, 2, 2, 2), (5, 2, 2, 2, 2), (5, 3, 2, 2, 2), (5, 3, 2, 2, 2, 2))
HNERV_STRIDES = (
    (5, 4, 4, 3, 2), (5, 4, 4, 2, 2), (5, 4, 3, 2, 2), (4, 4, 3, 2, 2), (4, 4, 2, 2, 2), (5, 4, 2, 2), (4, 4, 2, 2), (4, 3, 2, 2),
    (4, 2, 2, 2), (5, 2, 2), (4, 2, 2), (2, 2, 2), (2, 2), (2,), (1,),
)  # fmt: skip
CONV_GROUPS = 8  # groups of FFNeRV's compact convolutions
NEIGHBOURS = (-2, -1, 1, 2)  # offsets of the neighbouring frames that FFNeRV reads
NIRVANA_SEGMENT = 4  # default frames of a segment, which share a network; 3 in the paper
SIREN_DEPTH = 11  # dense layers of COIN's network: ten with sine activations, and the one to pixels
FOURIER_DEPTH, FOURIER_DEVIATION = 3, 10  # hidden layers of a network of Fourier features; standard deviation of its frequencies
GRID_CELL, MOST_GRID = 16, 32  # pixels along a side of a cell of CAM's spatial grids, and most cells along a side
MOST_UNITS = 4096  # largest argument of a family: see `largest`


def largest(family: Callable[[int], NetworkSpec], video: VideoSpec, size: float) -> NetworkSpec:
    """The largest network of `family` with at most `size` weights; the smallest network if none is small enough.

    `family` makes a network from an integer, 1 to MOST_UNITS; a larger integer gives more weights.
    """
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
    """HNeRV with about `size` weights by its own rule for sizes (section 3.2 and the public code), with a channel reduction of 1.2.

    The number w of the stem's channels solves a w^2 + b w = size - weights of the embeddings. The left side counts the weights of stem and
    blocks. As in the public code, it counts the weights of the stem nine times, and those of head and biases not at all.
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
    """The largest HNeRV by the paper's rule with at most `size` weights; for a small `size`, the rule itself gives twice as many."""
    return largest(lambda hundreds: hnerv_spec(video, 100.0 * hundreds), video, size)


# NeRV and NeRV++


def nerv_strides(height: int, width: int) -> tuple[int, ...]:
    """The strides that give about CELLS cells along the short side with little padding.

    For the frame sizes of the paper, they are the paper's strides.
    """
    short = min(height, width)

    def misfit(strides: tuple[int, ...]) -> float:
        scale = math.prod(strides)
        padded = math.ceil(height / scale) * math.ceil(width / scale) * scale**2 / (height * width)
        return padded - 1 + abs(math.log2(short / scale / CELLS))

    return min(STRIDES, key=misfit)


def nerv(video: VideoSpec, channels: int, hidden: int, narrowest: int, separable: int = 0, skip: bool = False) -> NetworkSpec:
    """NeRV (Chen et al., NeurIPS 2021) with `channels` channels of first features, and `hidden` channels of its hidden layer.

    The channels halve from block to block, but not below `narrowest`. `separable` is the kernel size of NeRV++'s separable residual blocks
    (0: none), and `skip` adds its bilinear skips. The paper's networks S, M and L for frames of 1280 x 720 pixels have 26, 58 and 112
    channels, a `hidden` of 512 and a `narrowest` of 96 (NeRV++: 80).
    """
    strides = nerv_strides(video.height, video.width)
    widths = [channels, *(max(channels >> (index + 1), narrowest) for index in range(len(strides) - 1))]
    blocks = tuple(BlockSpec(width, stride, 3, separable=separable, skip=skip) for width, stride in zip(widths, strides, strict=True))
    return NetworkSpec(Positions(LEVELS, hidden), channels, blocks, head_kernel=1, head_stride=1, bounded=True)


def nerv_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV with at most `size` weights. The hidden layer and the first features grow together."""
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST), video, size)


def nerv_plus_plus_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NeRV++ (Ghorbel et al., 2024) with at most `size` weights.

    It is NeRV with separable residual blocks around each convolution, and with bilinear skips.
    """
    return largest(lambda unit: nerv(video, unit, 8 * unit, NARROWEST, separable=3, skip=True), video, size)


# FFNeRV


def ffnerv(video: VideoSpec, channels: int, lengths: tuple[int, ...], expansion: int, narrowest: int) -> NetworkSpec:
    """FFNeRV (Lee et al., 2023) with time grids of `lengths` points in time, and `channels` channels in all grids together.

    The first block has `expansion` * `channels` channels. The channels halve from block to block, but not below `narrowest`. All blocks but
    the first are compact: their convolutions are in groups.
    """
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
    """FFNeRV with at most `size` weights.

    One of its two time grids has a point for each frame, the other has half as many, as in the paper's experiments on compression.
    """
    lengths = (-(-video.frames // 2), video.frames)

    def family(unit: int) -> NetworkSpec:
        # Channels are multiples of CONV_GROUPS, so that every convolution can be split into groups.
        return ffnerv(video, 2 * unit, lengths, CONV_GROUPS, 2 * CONV_GROUPS)

    return largest(family, video, size)


# NIRVANA


def nirvana_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """NIRVANA (Maiya et al., CVPR 2023) with at most `size` weights. Its three sine layers, its block and its head grow together.

    In the paper, a patch has 32 x 32 pixels, and its features have half of the picture's resolution. Here, a patch has 16 x 16 pixels, and
    its features have an eighth of the resolution, which makes the last layer small enough for short segments.
    """

    def family(unit: int) -> NetworkSpec:
        features = 4 * max(1, unit // 2)
        return NetworkSpec(Patches(16, 8 * unit, 3), features, (BlockSpec(features, 2, 3),), 3, 4)

    return largest(family, video, size)


# Coordinate networks of pictures


def siren_spec(video: VideoSpec, size: float) -> NetworkSpec:
    """SIREN (Sitzmann et al., NeurIPS 2020) as in COIN (Dupont et al., 2021), with at most `size` weights.

    It is NIRVANA's perceptron with patches of one pixel and no block. COIN's smallest network has five layers of 20 channels, its largest
    one 13 of 49; the depth here is that of COIN's network for Kodak at 0.3 bits per pixel.
    """
    return largest(lambda width: NetworkSpec(Patches(1, width, SIREN_DEPTH), CHANNELS, (), 1, 1), video, size)


def fourier_feature_spec(video: VideoSpec, size: float, modulated: bool) -> NetworkSpec:
    """A network of Fourier features (Tancik et al., NeurIPS 2020) with at most `size` weights, three layers of equal width.

    There are as many frequencies as channels of a layer, and their deviation is 10 as in both papers. With `modulated`, it has norm and
    the spatial grids of CAM (Lee et al., ICLR 2024); a grid has as many cells as the picture has cells of GRID_CELL pixels, up to the
    paper's 32 x 32.
    """
    grid = min(-(-video.height // GRID_CELL), MOST_GRID), min(-(-video.width // GRID_CELL), MOST_GRID)

    def family(width: int) -> NetworkSpec:
        layers = (BlockSpec(width, 1, 1),) * FOURIER_DEPTH
        spec = NetworkSpec(FourierFeatures(width, FOURIER_DEVIATION), 2 * width, layers, 1, 1)
        return replace(spec, norm=True, spatial_grid=grid) if modulated else spec

    return largest(family, video, size)

"""Which tensors a spec has, in bitstream order. Plain arithmetic: no JAX."""

from itertools import pairwise
from math import prod

from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, Patches, Positions, TimeGrids, VideoSpec

Shapes = dict[str, tuple[int, ...]]

PRIVATE = ("embedding", "cells.", "times.", "canvas.grids.", "canvas.flows.")
PAINTER = ("canvas.mix.", "canvas.paint.")  # from a canvas's grids to its pixels
PER_FRAME = ("embedding", "canvas.flows.")  # tensors of which each frame has a part
GRIDS = ("scale", "shift", "spatial_scale", "spatial_shift")


def tensor_shapes(spec: NetworkSpec, video: VideoSpec) -> Shapes:
    """Name and shape of every tensor in bitstream order; kernels are (rows, columns, in, out)."""
    shapes, features = _beginning(spec, video), spec.stem
    for index, block in enumerate(spec.blocks):
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in _block(block, features, spec).items()}
        features = block.width
    if spec.neighbours:
        looked = spec.blocks[spec.neighbours.block].width
        shapes |= _conv("neighbours.look", looked, 3 * len(spec.neighbours.offsets) + 1, 3)
    if spec.canvas:
        size = video.painted(spec)
        shapes |= {f"canvas.{name}": shape for name, shape in _canvas(spec.canvas, size, video.frames, features).items()}
    return shapes | _conv("head", features, 3 * spec.head_stride**2, spec.head_kernel)


def _conv(name: str, features: int, width: int, kernel: int) -> Shapes:
    return {f"{name}.kernel": (kernel, kernel, features, width), f"{name}.bias": (width,)}


def _dense(name: str, features: int, width: int) -> Shapes:
    return {f"{name}.kernel": (features, width), f"{name}.bias": (width,)}


def _beginning(spec: NetworkSpec, video: VideoSpec) -> Shapes:
    rows, columns = video.cells(spec)
    match spec.beginning:
        case Embeddings(channels):
            return {"embedding": (video.frames, rows, columns, channels)} | _conv("stem", channels, spec.stem, 1)
        case Positions(levels, hidden):
            first = _dense("hidden", 2 * levels, hidden) if hidden else {}
            return first | _dense("cells", hidden or 2 * levels, rows * columns * spec.stem)
        case TimeGrids(lengths):
            return {f"times.{index}": (length, rows, columns, spec.stem // len(lengths)) for index, length in enumerate(lengths)}
        case Patches() as patches:
            shapes: Shapes = {}
            for index, (before, width) in enumerate(patch_widths(patches, spec)):
                shapes |= _dense(f"patch.{index}", before, width)
            return shapes


def patch_widths(patches: Patches, spec: NetworkSpec) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer of NIRVANA's perceptron: a position at first, a patch's features at last."""
    cells = (patches.size // spec.upscale) ** 2
    return list(pairwise([2, *(patches.hidden for _ in range(patches.depth - 1)), cells * spec.stem]))


def _block(block: BlockSpec, features: int, spec: NetworkSpec) -> Shapes:
    expanded = block.width * block.stride**2
    shapes = _separable("before", features, block.separable)
    if block.groups > 1:
        shapes |= _conv("conv", features // block.groups, expanded, block.kernel) | _conv("expand", expanded, expanded, 1)
    else:
        shapes |= _conv("conv", features, expanded, block.kernel)
    if block.skip:
        shapes |= _conv("skip", features, block.width, 1)
    if any(block.modes):
        shapes["fourier.weight"] = (2, 2 * block.modes[0] - 1, block.modes[1], features, block.width)
    if spec.temporal_grid:
        shapes |= {f"modulation.{grid}": (spec.temporal_grid, block.width) for grid in ("scale", "shift")}
    if spec.spatial_grid[0]:
        shapes |= {f"modulation.{grid}": spec.spatial_grid for grid in ("spatial_scale", "spatial_shift")}
    return shapes | _separable("after", block.width, block.separable)


def _separable(name: str, features: int, kernel: int) -> Shapes:
    if not kernel:
        return {}
    return _conv(f"{name}.depthwise", 1, features, kernel) | _conv(f"{name}.pointwise", features, features, 1)


def _canvas(canvas: CanvasSpec, size: tuple[int, int], frames: int, features: int) -> Shapes:
    grids = canvas.grid_shapes(*size)
    shapes: Shapes = {f"grids.{index}": shape for index, shape in enumerate(grids)}
    shapes |= _conv("mix", len(grids), canvas.width, canvas.kernel) | _conv("paint", canvas.width, 3 * canvas.stride**2, 3)
    shapes |= {f"flows.{index}": (frames, *grid, 2) for index, grid in enumerate(canvas.flow_grids)}
    return shapes | _conv("mask", features, 1, 3)


def is_private(name: str) -> bool:
    """Whether a tensor belongs to one video alone (what depends on its size or length, CAM's grids) rather than to a shared layer."""
    return name.startswith(PRIVATE) or name.rsplit(".", 1)[-1] in GRIDS


def weights(spec: NetworkSpec, video: VideoSpec) -> int:
    """Number of weights in all tensors of a network."""
    return sum(prod(shape) for shape in tensor_shapes(spec, video).values())

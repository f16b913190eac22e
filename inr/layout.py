"""Which tensors a spec has, in bitstream order, and what they cost to run. Plain arithmetic: no JAX."""

from inr.spec import HNeRVSpec, VideoSpec

Shapes = dict[str, tuple[int, ...]]

PRIVATE = ("embedding", "canvas.grids.", "canvas.flows.")
GRIDS = ("scale", "shift", "spatial_scale", "spatial_shift")
TRANSFORM_MACS = 12  # of a cell and channel, there or back: two per octave of a frame of 64 cells


def tensor_shapes(spec: HNeRVSpec, video: VideoSpec) -> Shapes:
    """Name and shape of every tensor in bitstream order; kernels are (rows, columns, in, out)."""
    shapes: Shapes = {"embedding": (video.frames, *video.cells(spec), spec.embedding)}

    def conv(name: str, features: int, width: int, kernel: int) -> None:
        shapes[f"{name}.kernel"] = (kernel, kernel, features, width)
        shapes[f"{name}.bias"] = (width,)

    conv("stem", spec.embedding, spec.stem, 1)
    features, (rows, columns) = spec.stem, video.cells(spec)
    for index, block in enumerate(spec.blocks):
        conv(f"blocks.{index}.conv", features, block.width * block.stride**2, block.kernel)
        if any(block.modes):
            shapes[f"blocks.{index}.fourier.weight"] = (2, 2 * block.modes[0] - 1, block.modes[1], features, block.width)
        modulation = f"blocks.{index}.modulation"
        if spec.temporal_grid:
            shapes[f"{modulation}.scale"] = (spec.temporal_grid, block.width)
            shapes[f"{modulation}.shift"] = (spec.temporal_grid, block.width)
        if spec.spatial_grid[0]:
            shapes[f"{modulation}.spatial_scale"] = spec.spatial_grid
            shapes[f"{modulation}.spatial_shift"] = spec.spatial_grid
        rows, columns, features = rows * block.stride, columns * block.stride, block.width
    if spec.canvas:
        grids = spec.canvas.grid_shapes(rows * spec.head_stride, columns * spec.head_stride)
        shapes |= {f"canvas.grids.{index}": shape for index, shape in enumerate(grids)}
        conv("canvas.mix", len(grids), spec.canvas.width, spec.canvas.kernel)
        conv("canvas.paint", spec.canvas.width, 3 * spec.canvas.stride**2, 3)
        shapes |= {f"canvas.flows.{index}": (video.frames, *grid, 2) for index, grid in enumerate(spec.canvas.flow_grids)}
        conv("canvas.mask", features, 1, 3)
    conv("head", features, 3 * spec.head_stride**2, spec.head_kernel)
    return shapes


def is_private(name: str) -> bool:
    """Whether a tensor belongs to one video alone (embedding, grids, flows) rather than to a shared layer."""
    return name.startswith(PRIVATE) or name.rsplit(".", 1)[-1] in GRIDS


def macs_per_pixel(spec: HNeRVSpec) -> float:
    """Multiply-accumulates of one rendered frame's convolutions per pixel of the canvas."""
    macs, cells, features = spec.embedding * spec.stem, 1, spec.stem
    for block in spec.blocks:
        macs += cells * features * block.width * block.stride**2 * block.kernel**2
        if any(block.modes):  # the transforms; mixing a few modes is little beside them
            macs += TRANSFORM_MACS * cells * (features + block.width * block.stride**2)
        cells *= block.stride**2
        features = block.width
    macs += cells * features * 3 * spec.head_stride**2 * spec.head_kernel**2
    pixels = cells * spec.head_stride**2
    if spec.canvas:
        # Painting, as for a frame rendered alone; the mask's convolution; flow and mask resized, three samples of
        # four corners read.
        canvas, grids = spec.canvas, sum(spec.canvas.grids)
        macs += pixels / canvas.stride**2 * canvas.width * (grids * canvas.kernel**2 + 27 * canvas.stride**2)
        macs += cells * features * 9 + 24 * pixels
    return macs / pixels

"""Writes and reads the fields of a spec record. codec/FORMAT.md defines fields and limits."""

from itertools import chain

from codec.band_contexts import BAND_TEMPLATE
from codec.bitstream import BitstreamError, Fields, positive, varint
from codec.context_model import MAX_HIDDEN, TEMPLATE
from inr.spec import (
    BandContextSpec,
    BlockSpec,
    CanvasSpec,
    ContextSpec,
    Embeddings,
    FourierFeatures,
    FrameInput,
    FrameTree,
    NeighboursSpec,
    NetworkSpec,
    Patches,
    Positions,
    Pyramid,
    TimeGrids,
)

# The first byte of a spec record: the kind of frame input.
HNERV, NERV, FFNERV, NIRVANA, PICTURE, FOURIER_FEATURES, TREE = 1, 2, 3, 4, 5, 6, 7
MAX_WIDTH, MAX_STRIDE, MAX_KERNEL, MAX_BLOCKS, MAX_GRID, MAX_LEVELS = 4096, 16, 15, 16, 4096, 12
MAX_DISTANCE, MAX_CONTEXT_WIDTH = 64, 64
MAX_BASE, MAX_PATCH, MAX_OFFSET, MAX_MODES, MAX_DEVIATION = 1000, 1024, 64, 64, 1000

# Flags of a spec record.
NORM, BOUNDED, TEMPORAL, SPATIAL, CANVAS, OPPONENT, FOURIER, EXTENDED_BLOCKS, NEIGHBOURS, HALVES, SMOOTH = (1 << bit for bit in range(11))


def write_spec(spec: NetworkSpec) -> bytes:
    """The payload of a spec record."""
    spatial = spec.spatial_grid[0] > 0
    flags = NORM * spec.norm | BOUNDED * spec.bounded | TEMPORAL * bool(spec.temporal_grid) | SPATIAL * spatial
    fourier, extended = any(any(block.modes) for block in spec.blocks), any(map(_is_extended, spec.blocks))
    flags |= CANVAS * (spec.canvas is not None) | OPPONENT * spec.opponent | FOURIER * fourier | EXTENDED_BLOCKS * extended
    flags |= NEIGHBOURS * (spec.neighbours is not None) | HALVES * (spec.canvas is not None and spec.canvas.half_samples)
    flags |= SMOOTH * spec.smooth
    numbers = [flags, *_frame_input_numbers(spec.frame_input), spec.stem, spec.head_kernel, spec.head_stride]
    numbers += [spec.temporal_grid] if spec.temporal_grid else []
    numbers += spec.spatial_grid if spatial else []
    numbers += [len(spec.blocks)]
    for block in spec.blocks:
        numbers += [block.width, block.stride, block.kernel]
        numbers += block.modes if fourier else ()
        numbers += (block.conv_groups, block.separable, block.skip) if extended else ()
    numbers += _canvas_numbers(spec.canvas) if spec.canvas else []
    if spec.neighbours:
        numbers += [spec.neighbours.block, len(spec.neighbours.offsets), *map(_zigzag, spec.neighbours.offsets)]
    return bytes([_network(spec.frame_input)]) + b"".join(map(varint, numbers))


def _network(frame_input: FrameInput) -> int:
    match frame_input:
        case Embeddings():
            return HNERV
        case Positions():
            return NERV
        case TimeGrids():
            return FFNERV
        case Patches():
            return NIRVANA
        case Pyramid():
            return PICTURE
        case FourierFeatures():
            return FOURIER_FEATURES
        case FrameTree():
            return TREE


def _frame_input_numbers(frame_input: FrameInput) -> list[int]:
    """The fields of a frame input, in the order of the file."""
    match frame_input:
        case Embeddings(channels):
            return [channels]
        case Positions(levels, hidden, base):
            return [levels, hidden, base]
        case TimeGrids(lengths):
            return [len(lengths), *lengths]
        case Patches(size, hidden, depth):
            return [size, hidden, depth]
        case Pyramid(levels, contexts):
            return [levels, contexts.neighbours, contexts.coarser, contexts.hidden]
        case FourierFeatures(frequencies, deviation):
            return [frequencies, deviation]
        case FrameTree(distance, full_chroma, contexts, motion, keeps_means):
            models = (number for part in (contexts, motion) for number in (part.neighbours, part.width, part.hidden))
            return [distance, int(full_chroma) + 2 * int(keeps_means), *models]


def _read_frame_input(network: int, fields: Fields) -> FrameInput:
    match network:
        case 1:
            return Embeddings(positive(fields, MAX_WIDTH))
        case 2:
            return Positions(positive(fields, MAX_WIDTH), fields.varint(MAX_WIDTH), positive(fields, MAX_BASE))
        case 3:
            return TimeGrids(tuple(positive(fields, MAX_GRID) for _ in range(positive(fields, MAX_LEVELS))))
        case 4:
            return Patches(positive(fields, MAX_PATCH), positive(fields, MAX_WIDTH), positive(fields, MAX_LEVELS))
        case 5:
            levels, neighbours = positive(fields, MAX_LEVELS), positive(fields, len(TEMPLATE))
            return Pyramid(levels, ContextSpec(neighbours, fields.varint(MAX_LEVELS), fields.varint(MAX_HIDDEN)))
        case 6:
            return FourierFeatures(positive(fields, MAX_WIDTH // 2), positive(fields, MAX_DEVIATION))
        case 7:
            distance = positive(fields, MAX_DISTANCE)
            flags = fields.varint(3)
            contexts, motion = _read_band_contexts(fields), _read_band_contexts(fields)
            return FrameTree(distance, bool(flags & 1), contexts, motion, keeps_means=bool(flags & 2))
    raise BitstreamError("unknown-network", f"this version does not know networks of kind {network}", "pip install -U inr-codec")


def _read_band_contexts(fields: Fields) -> BandContextSpec:
    return BandContextSpec(positive(fields, len(BAND_TEMPLATE)), positive(fields, MAX_CONTEXT_WIDTH), fields.varint(MAX_HIDDEN))


def _is_extended(block: BlockSpec) -> bool:
    """Whether a block has parts besides a convolution and a Fourier operator."""
    return block.conv_groups > 1 or block.separable > 0 or block.skip


def _zigzag(value: int) -> int:
    """Convert a signed integer to an unsigned one: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4, and so on."""
    return 2 * value if value >= 0 else -2 * value - 1


def _canvas_numbers(canvas: CanvasSpec) -> list[int]:
    """The fields of a canvas, in the order of the file."""
    return [
        canvas.stride,
        canvas.width,
        canvas.kernel,
        len(canvas.flow_grids),
        *chain(*canvas.flow_grids),
        len(canvas.grids),
        *canvas.grids,
    ]


def _read_canvas(fields: Fields, half_samples: bool) -> CanvasSpec:
    stride, width, kernel = positive(fields, MAX_STRIDE), positive(fields, MAX_WIDTH), _kernel(fields)
    flow_grids = tuple((positive(fields, MAX_GRID), positive(fields, MAX_GRID)) for _ in range(fields.varint(MAX_LEVELS)))
    grids = tuple(fields.varint(MAX_WIDTH) for _ in range(fields.varint(MAX_LEVELS)))
    if not grids or not grids[0] or not flow_grids:
        raise BitstreamError("out-of-range", "a canvas has no grid at its finest level, or no flow grid")
    return CanvasSpec(grids, flow_grids, stride, width, kernel, half_samples)


def read_spec(payload: bytes) -> NetworkSpec:
    """Read the payload of a spec record. BitstreamError if a field is out of its range or if fields contradict each other."""
    fields = Fields(payload)
    network, flags = fields.byte(), fields.varint()
    if flags >= 2 * SMOOTH or (flags & HALVES and not flags & CANVAS):
        raise BitstreamError("reserved-bits", "reserved bits of the spec are set", "pip install -U inr-codec")
    frame_input, stem = _read_frame_input(network, fields), positive(fields, MAX_WIDTH)
    head_kernel, head_stride = _kernel(fields), positive(fields, MAX_STRIDE)
    temporal = positive(fields, MAX_GRID) if flags & TEMPORAL else 0
    spatial = (positive(fields, MAX_GRID), positive(fields, MAX_GRID)) if flags & SPATIAL else (0, 0)
    blocks = tuple(_read_block(fields, bool(flags & FOURIER), bool(flags & EXTENDED_BLOCKS)) for _ in range(fields.varint(MAX_BLOCKS)))
    canvas = _read_canvas(fields, bool(flags & HALVES)) if flags & CANVAS else None
    neighbours = _read_neighbours(fields, len(blocks)) if flags & NEIGHBOURS else None
    _must_end(fields)
    spec = NetworkSpec(
        frame_input=frame_input,
        stem=stem,
        blocks=blocks,
        head_kernel=head_kernel,
        head_stride=head_stride,
        norm=bool(flags & NORM),
        temporal_grid=temporal,
        spatial_grid=spatial,
        bounded=bool(flags & BOUNDED),
        opponent=bool(flags & OPPONENT),
        smooth=bool(flags & SMOOTH),
        canvas=canvas,
        neighbours=neighbours,
    )
    _must_divide(spec)
    _must_be_a_picture(spec)
    _must_be_a_tree(spec)
    if isinstance(spec.frame_input, FourierFeatures) and spec.stem != 2 * spec.frame_input.frequencies:
        raise BitstreamError("out-of-range", f"the network has {spec.stem} first features for {spec.frame_input.frequencies} frequencies")
    return spec


def _must_be_a_picture(spec: NetworkSpec) -> None:
    """Raise BitstreamError if a spec with a pyramid has parts that the network of a picture does not have."""
    plain = NetworkSpec(spec.frame_input, spec.stem, (), spec.head_kernel, head_stride=2)
    if isinstance(spec.frame_input, Pyramid) and spec != plain:
        raise BitstreamError("out-of-range", "a picture's network has blocks, flags, or a head that does not upsample by 2")


def _must_be_a_tree(spec: NetworkSpec) -> None:
    """Raise BitstreamError if a spec with a tree of frames has parts that its network does not have."""
    if isinstance(spec.frame_input, FrameTree) and spec != NetworkSpec(spec.frame_input, 1, (), head_kernel=1):
        raise BitstreamError("out-of-range", "a tree of frames has blocks, flags, a stem or a head")


def _must_divide(spec: NetworkSpec) -> None:
    """Raise BitstreamError unless channels divide equally among time grids and among convolution groups, and a patch has whole cells."""
    features = (spec.stem, *(block.width for block in spec.blocks))
    divisions = [(width, block.conv_groups, "unequal convolution groups") for width, block in zip(features, spec.blocks, strict=False)]
    divisions += [(block.width * block.stride**2, block.conv_groups, "unequal convolution groups") for block in spec.blocks]
    match spec.frame_input:
        case TimeGrids(lengths):
            divisions.append((spec.stem, len(lengths), "unequal time grids"))
        case Patches(size):
            divisions.append((size, spec.upscale, "patches of incomplete cells"))
    for whole, parts, problem in divisions:
        if whole % parts:
            raise BitstreamError("out-of-range", f"the network has {problem}: {whole} is not a multiple of {parts}")


def _read_block(fields: Fields, fourier: bool, extended: bool) -> BlockSpec:
    width, stride, kernel = positive(fields, MAX_WIDTH), positive(fields, MAX_STRIDE), _kernel(fields)
    modes = (fields.varint(MAX_MODES), fields.varint(MAX_MODES)) if fourier else (0, 0)
    if (modes[0] == 0) != (modes[1] == 0):
        raise BitstreamError("out-of-range", "a Fourier operator has modes along only one axis")
    conv_groups, separable, skip = (positive(fields, MAX_WIDTH), fields.varint(MAX_KERNEL), fields.varint(1)) if extended else (1, 0, 0)
    if separable and separable % 2 == 0:
        raise BitstreamError("out-of-range", f"a separable convolution has the even kernel size {separable}")
    return BlockSpec(width, stride, kernel, modes, conv_groups, separable, bool(skip))


def _read_neighbours(fields: Fields, blocks: int) -> NeighboursSpec:
    block = fields.varint(MAX_BLOCKS)
    coded = [fields.varint(2 * MAX_OFFSET) for _ in range(positive(fields, MAX_LEVELS))]
    if block >= blocks:
        raise BitstreamError("out-of-range", f"neighbours are predicted from block {block}, but the network has only {blocks} blocks")
    return NeighboursSpec(tuple(value // 2 if value % 2 == 0 else -(value // 2) - 1 for value in coded), block)


def _kernel(fields: Fields) -> int:
    kernel = positive(fields, MAX_KERNEL)
    if kernel % 2 == 0:
        raise BitstreamError("out-of-range", f"a convolution has the even kernel size {kernel}")
    return kernel


def _must_end(fields: Fields) -> None:
    if surplus := len(fields.rest()):
        raise BitstreamError("trailing-bytes", f"{surplus} bytes follow the fields of a record")

"""Writes and reads header fields: those of a spec record, and those of a video record before its range-coded stream.

Every reader checks a field against its limit before it allocates memory of this size. codec/FORMAT.md defines fields and limits.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import chain
from math import prod

from codec.bitstream import BitstreamError, Fields, varint
from codec.model import VideoEntry
from inr.layout import TensorSpec, tensor_specs
from inr.spec import (
    BlockSpec,
    CanvasSpec,
    Embeddings,
    FrameInput,
    NeighboursSpec,
    NetworkSpec,
    Patches,
    Positions,
    TimeGrids,
    VideoSpec,
)
from inr.video import UNSPECIFIED, Colour

HNERV, NERV, FFNERV, NIRVANA = 1, 2, 3, 4  # the first byte of a spec record: the kind of frame input
MAX_WIDTH, MAX_STRIDE, MAX_KERNEL, MAX_BLOCKS, MAX_GRID, MAX_LEVELS = 4096, 16, 15, 16, 4096, 12
MAX_SIDE, MAX_FRAMES, MAX_RATE = 65536, 1 << 24, 1 << 31
MAX_BASE, MAX_PATCH, MAX_OFFSET = 1000, 1024, 64
MAX_NAME_BYTES, MAX_LAYERS = 255, 4096
CHECKSUM_BYTES = 4
MAX_WEIGHTS = 1 << 28  # the most weights of a network and the most samples of a picture: this bounds a decoder's memory

# Flags of a spec record, and flags of a video record.
NORM, BOUNDED, TEMPORAL, SPATIAL, CANVAS, OPPONENT, FOURIER, EXTENDED_BLOCKS, NEIGHBOURS, HALVES = (1 << bit for bit in range(10))
TAGGED, FULL_RANGE, CHECKED, CONTINUES, MARGINS, SAME_FORMAT = 1, 2, 4, 8, 16, 32
MAX_MODES = 64


def write_spec(spec: NetworkSpec) -> bytes:
    """The payload of a spec record."""
    spatial = spec.spatial_grid[0] > 0
    flags = NORM * spec.norm | BOUNDED * spec.bounded | TEMPORAL * bool(spec.temporal_grid) | SPATIAL * spatial
    fourier, extended = any(any(block.modes) for block in spec.blocks), any(map(_is_extended, spec.blocks))
    flags |= CANVAS * (spec.canvas is not None) | OPPONENT * spec.opponent | FOURIER * fourier | EXTENDED_BLOCKS * extended
    flags |= NEIGHBOURS * (spec.neighbours is not None) | HALVES * (spec.canvas is not None and spec.canvas.half_samples)
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


def _read_frame_input(network: int, fields: Fields) -> FrameInput:
    match network:
        case 1:
            return Embeddings(_positive(fields, MAX_WIDTH))
        case 2:
            return Positions(_positive(fields, MAX_WIDTH), fields.varint(MAX_WIDTH), _positive(fields, MAX_BASE))
        case 3:
            return TimeGrids(tuple(_positive(fields, MAX_GRID) for _ in range(_positive(fields, MAX_LEVELS))))
        case 4:
            return Patches(_positive(fields, MAX_PATCH), _positive(fields, MAX_WIDTH), _positive(fields, MAX_LEVELS))
    raise BitstreamError("unknown-network", f"this version does not know networks of kind {network}", "pip install -U inr-codec")


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
    stride, width, kernel = _positive(fields, MAX_STRIDE), _positive(fields, MAX_WIDTH), _kernel(fields)
    flow_grids = tuple((_positive(fields, MAX_GRID), _positive(fields, MAX_GRID)) for _ in range(fields.varint(MAX_LEVELS)))
    grids = tuple(fields.varint(MAX_WIDTH) for _ in range(fields.varint(MAX_LEVELS)))
    if not grids or not grids[0] or not flow_grids:
        raise BitstreamError("out-of-range", "a canvas has no grid at its finest level, or no flow grid")
    return CanvasSpec(grids, flow_grids, stride, width, kernel, half_samples)


def read_spec(payload: bytes) -> NetworkSpec:
    """Read the payload of a spec record. BitstreamError if a field is out of its range or if fields contradict each other."""
    fields = Fields(payload)
    network, flags = fields.byte(), fields.varint()
    if flags >= 2 * HALVES or (flags & HALVES and not flags & CANVAS):
        raise BitstreamError("reserved-bits", "reserved bits of the spec are set", "pip install -U inr-codec")
    frame_input, stem = _read_frame_input(network, fields), _positive(fields, MAX_WIDTH)
    head_kernel, head_stride = _kernel(fields), _positive(fields, MAX_STRIDE)
    temporal = _positive(fields, MAX_GRID) if flags & TEMPORAL else 0
    spatial = (_positive(fields, MAX_GRID), _positive(fields, MAX_GRID)) if flags & SPATIAL else (0, 0)
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
        canvas=canvas,
        neighbours=neighbours,
    )
    _must_divide(spec)
    return spec


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
    width, stride, kernel = _positive(fields, MAX_WIDTH), _positive(fields, MAX_STRIDE), _kernel(fields)
    modes = (fields.varint(MAX_MODES), fields.varint(MAX_MODES)) if fourier else (0, 0)
    if (modes[0] == 0) != (modes[1] == 0):
        raise BitstreamError("out-of-range", "a Fourier operator has modes along only one axis")
    conv_groups, separable, skip = (_positive(fields, MAX_WIDTH), fields.varint(MAX_KERNEL), fields.varint(1)) if extended else (1, 0, 0)
    if separable and separable % 2 == 0:
        raise BitstreamError("out-of-range", f"a separable convolution has the even kernel size {separable}")
    return BlockSpec(width, stride, kernel, modes, conv_groups, separable, bool(skip))


def _read_neighbours(fields: Fields, blocks: int) -> NeighboursSpec:
    block = fields.varint(MAX_BLOCKS)
    coded = [fields.varint(2 * MAX_OFFSET) for _ in range(_positive(fields, MAX_LEVELS))]
    if block >= blocks:
        raise BitstreamError("out-of-range", f"neighbours are predicted from block {block}, but the network has only {blocks} blocks")
    return NeighboursSpec(tuple(value // 2 if value % 2 == 0 else -(value // 2) - 1 for value in coded), block)


def write_video_spec(entry: VideoEntry, before: VideoSpec | None = None) -> bytes:
    """The fields of a video record before its range-coded stream. `before` is the spec in the video record before it.

    If the entry `continues`, the record stores no name, size, rate, colour tags or margins: they are those of `before`.
    """
    video, colour, continues = entry.spec, entry.spec.colour, entry.continues
    name = b"" if continues else _shortened(video.name)
    tagged, has_margins = colour != Colour() and not continues, any(video.margins) and not continues
    same_format = not continues and before is not None and _format(video) == _format(before)
    flags = TAGGED * tagged | FULL_RANGE * (colour.full_range and not continues) | CHECKED * (entry.checksum is not None)
    flags |= CONTINUES * continues | MARGINS * has_margins | SAME_FORMAT * same_format
    data = varint(len(name)) + name + bytes([flags])
    if tagged:
        data += bytes([colour.primaries, colour.transfer, colour.matrix])
    video_format = () if continues or same_format else _format(video)
    numbers = (video.frames, *video_format, *(video.margins if has_margins else ()), len(entry.layers), *entry.layers)
    data += b"".join(map(varint, numbers))
    return data if entry.checksum is None else data + entry.checksum.to_bytes(CHECKSUM_BYTES, "little")


def _format(video: VideoSpec) -> tuple[int, int, int, int]:
    """Width, height, and frames per second as numerator and denominator. They are often the same for all videos of a bundle."""
    return video.width, video.height, video.fps.numerator, video.fps.denominator


def read_video_spec(fields: Fields, before: VideoSpec | None) -> VideoEntry:
    """Read the fields of a video record up to its range-coded stream, as an entry without tensors and weight masks.

    `before` is the spec in the video record before it, None for the first one. BitstreamError if a field is out of its range.
    """
    try:
        name = fields.take(fields.varint(MAX_NAME_BYTES)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BitstreamError("bad-name", "a video's name is not UTF-8") from error
    flags = fields.byte()
    if flags >= 2 * SAME_FORMAT or (flags & CONTINUES and (name or flags & (TAGGED | FULL_RANGE | MARGINS | SAME_FORMAT))):
        raise BitstreamError("reserved-bits", "reserved bits of a video are set", "pip install -U inr-codec")
    if flags & CONTINUES:
        spec = replace(_previous(before), frames=_positive(fields, MAX_FRAMES))
    else:
        spec = _read_whole_video(fields, flags, name, before)
    layers = tuple(fields.varint(MAX_LAYERS) for _ in range(fields.varint(MAX_LAYERS)))
    checksum = int.from_bytes(fields.take(CHECKSUM_BYTES), "little") if flags & CHECKED else None
    return VideoEntry(spec, layers, {}, checksum=checksum, continues=bool(flags & CONTINUES))


def _read_whole_video(fields: Fields, flags: int, name: str, before: VideoSpec | None) -> VideoSpec:
    """Read the spec of a video from a record that is not a further segment."""
    primaries, transfer, matrix = fields.take(3) if flags & TAGGED else (UNSPECIFIED,) * 3
    colour = Colour(primaries, transfer, matrix, bool(flags & FULL_RANGE))
    frames = _positive(fields, MAX_FRAMES)
    limits = (MAX_SIDE, MAX_SIDE, MAX_RATE, MAX_RATE)
    video_format = _format(_previous(before)) if flags & SAME_FORMAT else tuple(_positive(fields, limit) for limit in limits)
    width, height, numerator, denominator = video_format
    above, left, below, right = (fields.varint(MAX_SIDE) if flags & MARGINS else 0 for _ in range(4))
    return VideoSpec(width, height, frames, Fraction(numerator, denominator), colour, name, (above, left, below, right))


def _previous(before: VideoSpec | None) -> VideoSpec:
    """`before`, the spec in the video record before. BitstreamError if it is None, because the first record can refer to no other one."""
    if before is None:
        raise BitstreamError("out-of-range", "the first video record refers to a record before it")
    return before


def checked_specs(spec: NetworkSpec, video: VideoSpec) -> tuple[TensorSpec, ...]:
    """The specs of all tensors of a video. BitstreamError if it has more than MAX_WEIGHTS weights or samples of a picture."""
    tensors = tensor_specs(spec, video)
    weights = sum(tensor.size for tensor in tensors)
    samples = prod(video.canvas_size(spec)) * (1 + spec.canvas.half_samples) ** 2 if spec.canvas else video.height * video.width
    if max(weights, samples) > MAX_WEIGHTS:
        raise BitstreamError("too-large", f"{weights} weights and {samples} samples of a picture; the limit is {MAX_WEIGHTS} for each")
    return tensors


def _positive(fields: Fields, limit: int) -> int:
    value = fields.varint(limit)
    if value < 1:
        raise BitstreamError("out-of-range", "a field holds 0, but must be at least 1")
    return value


def _kernel(fields: Fields) -> int:
    kernel = _positive(fields, MAX_KERNEL)
    if kernel % 2 == 0:
        raise BitstreamError("out-of-range", f"a convolution has the even kernel size {kernel}")
    return kernel


def _must_end(fields: Fields) -> None:
    if surplus := len(fields.rest()):
        raise BitstreamError("trailing-bytes", f"{surplus} bytes follow the fields of a record")


def _shortened(name: str) -> bytes:
    """`name` as UTF-8, cut after the last whole character within MAX_NAME_BYTES bytes."""
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").encode()

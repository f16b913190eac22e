"""Specs as header fields and back: what the spec and video records say before their range-coded part.

Every reader checks each field against its limit before anything is allocated from it.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import prod

from codec.bitstream import BitstreamError, Fields, varint
from inr.layout import tensor_shapes
from inr.spec import (
    Beginning,
    BlockSpec,
    CanvasSpec,
    Embeddings,
    NeighboursSpec,
    NetworkSpec,
    Patches,
    Positions,
    TimeGrids,
    VideoSpec,
)
from inr.video import UNSPECIFIED, Colour

HNERV, NERV, FFNERV, NIRVANA = 1, 2, 3, 4  # how a frame begins
MAX_WIDTH, MAX_STRIDE, MAX_KERNEL, MAX_BLOCKS, MAX_GRID, MAX_LEVELS = 4096, 16, 15, 16, 4096, 12
MAX_SIDE, MAX_FRAMES, MAX_RATE = 65536, 1 << 24, 1 << 31
MAX_BASE, MAX_PATCH, MAX_OFFSET = 1000, 1024, 64
MAX_NAME_BYTES, MAX_LAYERS = 255, 4096
CHECKSUM_BYTES = 4
MAX_WEIGHTS = 1 << 28  # and samples of a picture, per record: what a decoder is willing to allocate for

NORM, BOUNDED, TEMPORAL, SPATIAL, CANVAS, OPPONENT, FOURIER, VARIED, NEIGHBOURS, HALVES = (1 << bit for bit in range(10))
TAGGED, FULL_RANGE, CHECKED, CONTINUES, MARGINS, ALIKE = 1, 2, 4, 8, 16, 32
MAX_MODES = 64


def write_spec(spec: NetworkSpec) -> bytes:
    """The payload of a spec record."""
    spatial = spec.spatial_grid[0] > 0
    flags = NORM * spec.norm | BOUNDED * spec.bounded | TEMPORAL * bool(spec.temporal_grid) | SPATIAL * spatial
    operates, varied = any(any(block.modes) for block in spec.blocks), any(map(_is_varied, spec.blocks))
    flags |= CANVAS * (spec.canvas is not None) | OPPONENT * spec.opponent | FOURIER * operates | VARIED * varied
    flags |= NEIGHBOURS * (spec.neighbours is not None) | HALVES * (spec.canvas is not None and spec.canvas.half_samples)
    numbers = [flags, *_beginning_numbers(spec.beginning), spec.stem, spec.head_kernel, spec.head_stride]
    numbers += [spec.temporal_grid] if spec.temporal_grid else []
    numbers += spec.spatial_grid if spatial else []
    numbers += [len(spec.blocks)]
    for block in spec.blocks:
        numbers += [block.width, block.stride, block.kernel]
        numbers += block.modes if operates else ()
        numbers += (block.groups, block.separable, block.skip) if varied else ()
    numbers += _canvas_numbers(spec.canvas) if spec.canvas else []
    if spec.neighbours:
        numbers += [spec.neighbours.block, len(spec.neighbours.offsets), *map(_zigzag, spec.neighbours.offsets)]
    return bytes([_network(spec.beginning)]) + b"".join(map(varint, numbers))


def _network(beginning: Beginning) -> int:
    match beginning:
        case Embeddings():
            return HNERV
        case Positions():
            return NERV
        case TimeGrids():
            return FFNERV
        case Patches():
            return NIRVANA


def _beginning_numbers(beginning: Beginning) -> list[int]:
    """The fields of how a frame begins."""
    match beginning:
        case Embeddings(channels):
            return [channels]
        case Positions(levels, hidden, base):
            return [levels, hidden, base]
        case TimeGrids(lengths):
            return [len(lengths), *lengths]
        case Patches(size, hidden, depth):
            return [size, hidden, depth]


def _read_beginning(network: int, fields: Fields) -> Beginning:
    match network:
        case 1:
            return Embeddings(_positive(fields, MAX_WIDTH))
        case 2:
            return Positions(_positive(fields, MAX_WIDTH), fields.varint(MAX_WIDTH), _positive(fields, MAX_BASE))
        case 3:
            return TimeGrids(tuple(_positive(fields, MAX_GRID) for _ in range(_positive(fields, MAX_LEVELS))))
        case 4:
            return Patches(_positive(fields, MAX_PATCH), _positive(fields, MAX_WIDTH), _positive(fields, MAX_LEVELS))
    raise BitstreamError("unknown-network", f"network {network} is unknown to this version", "pip install -U inr-codec")


def _is_varied(block: BlockSpec) -> bool:
    """Whether a block is more than a convolution and an operator beside it."""
    return block.groups > 1 or block.separable > 0 or block.skip


def _zigzag(value: int) -> int:
    """A signed integer as an unsigned one: 0, -1, 1, -2, 2 ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def _canvas_numbers(canvas: CanvasSpec) -> list[int]:
    """A canvas's fields."""
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
        raise BitstreamError("out-of-range", "a canvas without grids of its finest size, or without a flow")
    return CanvasSpec(grids, flow_grids, stride, width, kernel, half_samples)


def read_spec(payload: bytes) -> NetworkSpec:
    """The spec in a spec record's payload; BitstreamError if any field is out of its range."""
    fields = Fields(payload)
    network, flags = fields.byte(), fields.varint()
    if flags >= 2 * HALVES or (flags & HALVES and not flags & CANVAS):
        raise BitstreamError("reserved-bits", "reserved bits of the spec are set", "pip install -U inr-codec")
    beginning, stem = _read_beginning(network, fields), _positive(fields, MAX_WIDTH)
    head_kernel, head_stride = _kernel(fields), _positive(fields, MAX_STRIDE)
    temporal = _positive(fields, MAX_GRID) if flags & TEMPORAL else 0
    spatial = (_positive(fields, MAX_GRID), _positive(fields, MAX_GRID)) if flags & SPATIAL else (0, 0)
    blocks = tuple(_read_block(fields, bool(flags & FOURIER), bool(flags & VARIED)) for _ in range(fields.varint(MAX_BLOCKS)))
    canvas = _read_canvas(fields, bool(flags & HALVES)) if flags & CANVAS else None
    neighbours = _read_neighbours(fields, len(blocks)) if flags & NEIGHBOURS else None
    _must_end(fields)
    norm, bounded, opponent = bool(flags & NORM), bool(flags & BOUNDED), bool(flags & OPPONENT)
    spec = NetworkSpec(beginning, stem, blocks, head_kernel, head_stride, norm, temporal, spatial, bounded, opponent, canvas, neighbours)
    _must_divide(spec)
    return spec


def _must_divide(spec: NetworkSpec) -> None:
    """BitstreamError where grids, groups or patches do not share out what they should evenly."""
    features = (spec.stem, *(block.width for block in spec.blocks))
    shared = [(width, block.groups, "channels in groups") for width, block in zip(features, spec.blocks, strict=False)]
    shared += [(block.width * block.stride**2, block.groups, "channels in groups") for block in spec.blocks]
    match spec.beginning:
        case TimeGrids(lengths):
            shared.append((spec.stem, len(lengths), "channels of grids over time"))
        case Patches(size):
            shared.append((size, spec.upscale, "a patch's pixels in cells"))
    for whole, parts, what in shared:
        if whole % parts:
            raise BitstreamError("out-of-range", f"{what}: {whole} is no multiple of {parts}")


def _read_block(fields: Fields, operates: bool, varied: bool) -> BlockSpec:
    width, stride, kernel = _positive(fields, MAX_WIDTH), _positive(fields, MAX_STRIDE), _kernel(fields)
    modes = (fields.varint(MAX_MODES), fields.varint(MAX_MODES)) if operates else (0, 0)
    if (modes[0] == 0) != (modes[1] == 0):
        raise BitstreamError("out-of-range", "a Fourier operator with modes along one axis only")
    groups, separable, skip = (_positive(fields, MAX_WIDTH), fields.varint(MAX_KERNEL), fields.varint(1)) if varied else (1, 0, 0)
    if separable and separable % 2 == 0:
        raise BitstreamError("out-of-range", f"a kernel of even size {separable}")
    return BlockSpec(width, stride, kernel, modes, groups, separable, bool(skip))


def _read_neighbours(fields: Fields, blocks: int) -> NeighboursSpec:
    block = fields.varint(MAX_BLOCKS)
    coded = [fields.varint(2 * MAX_OFFSET) for _ in range(_positive(fields, MAX_LEVELS))]
    if block >= blocks:
        raise BitstreamError("out-of-range", f"neighbours are looked at from block {block} of {blocks}")
    return NeighboursSpec(tuple(value // 2 if value % 2 == 0 else -(value // 2) - 1 for value in coded), block)


def write_video_spec(
    video: VideoSpec, layers: tuple[int, ...], checksum: int | None = None, continues: bool = False, before: VideoSpec | None = None
) -> bytes:
    """The fields of a video record that stand before its range-coded tensors, `before` being the video of the record before it.

    What `continues` says only how long it is.
    """
    name = b"" if continues else _shortened(video.name)
    colour = video.colour
    tagged, beyond = colour != Colour() and not continues, any(video.margins) and not continues
    alike = not continues and before is not None and _form(video) == _form(before)
    flags = TAGGED * tagged | FULL_RANGE * (colour.full_range and not continues) | CHECKED * (checksum is not None) | CONTINUES * continues
    flags |= MARGINS * beyond | ALIKE * alike
    out = varint(len(name)) + name + bytes([flags])
    if tagged:
        out += bytes([colour.primaries, colour.transfer, colour.matrix])
    form = () if continues or alike else _form(video)
    out += b"".join(map(varint, (video.frames, *form, *(video.margins if beyond else ()), len(layers), *layers)))
    return out if checksum is None else out + checksum.to_bytes(CHECKSUM_BYTES, "little")


def _form(video: VideoSpec) -> tuple[int, int, int, int]:
    """What videos of one source have in common: width, height, and frames per second as numerator and denominator."""
    return video.width, video.height, video.fps.numerator, video.fps.denominator


@dataclass(frozen=True)
class VideoFields:
    """What stands before a video record's tensors: the video, the layers it stands on, its tensors' checksum if it has one."""

    spec: VideoSpec
    layers: tuple[int, ...]
    checksum: int | None
    continues: bool


def read_video_spec(fields: Fields, before: VideoSpec | None) -> VideoFields:
    """A video record's fields, `before` being the video of the record before it; leaves `fields` at the range-coded part."""
    try:
        name = fields.take(fields.varint(MAX_NAME_BYTES)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BitstreamError("bad-name", "a video's name is not UTF-8") from error
    flags = fields.byte()
    if flags >= 2 * ALIKE or (flags & CONTINUES and (name or flags & (TAGGED | FULL_RANGE | MARGINS | ALIKE))):
        raise BitstreamError("reserved-bits", "reserved bits of a video are set", "pip install -U inr-codec")
    if flags & CONTINUES:
        spec = replace(_present(before), frames=_positive(fields, MAX_FRAMES))
    else:
        primaries, transfer, matrix = fields.take(3) if flags & TAGGED else (UNSPECIFIED,) * 3
        colour = Colour(primaries, transfer, matrix, bool(flags & FULL_RANGE))
        frames = _positive(fields, MAX_FRAMES)
        limits = (MAX_SIDE, MAX_SIDE, MAX_RATE, MAX_RATE)
        form = _form(_present(before)) if flags & ALIKE else tuple(_positive(fields, limit) for limit in limits)
        width, height, numerator, denominator = form
        above, left, below, right = (fields.varint(MAX_SIDE) if flags & MARGINS else 0 for _ in range(4))
        spec = VideoSpec(width, height, frames, Fraction(numerator, denominator), colour, name, (above, left, below, right))
    layers = tuple(fields.varint(MAX_LAYERS) for _ in range(fields.varint(MAX_LAYERS)))
    checksum = int.from_bytes(fields.take(CHECKSUM_BYTES), "little") if flags & CHECKED else None
    return VideoFields(spec, layers, checksum, bool(flags & CONTINUES))


def _present(before: VideoSpec | None) -> VideoSpec:
    """The video of the record before; BitstreamError where there is none."""
    if before is None:
        raise BitstreamError("out-of-range", "the first video record says that it is like the one before")
    return before


def checked_shapes(spec: NetworkSpec, video: VideoSpec) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a video, or BitstreamError when they are more than a decoder should allocate."""
    shapes = tensor_shapes(spec, video)
    weights = 0
    for shape in shapes.values():
        size = 1
        for side in shape:
            size *= side
        weights += size
    samples = prod(video.painted(spec)) * (1 + spec.canvas.half_samples) ** 2 if spec.canvas else video.height * video.width
    if max(weights, samples) > MAX_WEIGHTS:
        raise BitstreamError("too-large", f"{weights} weights for {samples} samples of a picture; the limit is {MAX_WEIGHTS} each")
    return shapes


def _positive(fields: Fields, limit: int) -> int:
    value = fields.varint(limit)
    if value < 1:
        raise BitstreamError("out-of-range", "a field that counts from 1 holds 0")
    return value


def _kernel(fields: Fields) -> int:
    kernel = _positive(fields, MAX_KERNEL)
    if kernel % 2 == 0:
        raise BitstreamError("out-of-range", f"a kernel of even size {kernel}")
    return kernel


def _must_end(fields: Fields) -> None:
    if left := len(fields.rest()):
        raise BitstreamError("trailing-bytes", f"{left} bytes follow the fields of a record")


def _shortened(name: str) -> bytes:
    """At most MAX_NAME_BYTES bytes of UTF-8, cut between characters."""
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").encode()

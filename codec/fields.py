"""Writes and reads the fields of a video record before its range-coded stream.

Every reader checks a field against its limit before it allocates memory of this size. codec/FORMAT.md defines fields and limits.
"""

from dataclasses import replace
from fractions import Fraction
from math import prod

from codec.bitstream import BitstreamError, Fields, positive, varint
from codec.model import VideoEntry
from inr.cost import frame_cost
from inr.errors import InputError
from inr.layout import tensor_specs
from inr.spec import NetworkSpec, Pyramid, VideoSpec
from inr.tensor_spec import TensorSpec
from inr.video import UNSPECIFIED, Colour

MAX_SIDE, MAX_FRAMES, MAX_RATE, MAX_ASPECT = 65536, 1 << 24, 1 << 31, 1 << 16
MAX_NAME_BYTES, MAX_LAYERS = 255, 4096
NO_MARGINS = (0, 0, 0, 0)
CHECKSUM_BYTES = 4
MAX_WEIGHTS = 1 << 28  # the most weights of a network, and samples of a picture or of features: this bounds a decoder's memory
# The most multiply-accumulates of a frame are MAX_MACS, and MAX_PIXEL_MACS for each sample of the picture: this bounds a decoder's time.
MAX_MACS, MAX_PIXEL_MACS = 1 << 35, 1 << 18

# Flags of a video record.
TAGGED, FULL_RANGE, CHECKED, CONTINUES, MARGINS, SAME_FORMAT, OWN_CONTEXTS, PIXEL_ASPECT = (1 << bit for bit in range(8))


def write_video_spec(entry: VideoEntry, before: VideoSpec | None = None) -> bytes:
    """The fields of a video record before its range-coded stream. `before` is the spec in the video record before it.

    If the entry `continues`, the record stores no name, size, rate, colour tags or pixel aspect: they are those of `before`, and so are
    the margins, unless they differ.
    """
    video, colour, continues = entry.spec, entry.spec.colour, entry.continues
    name = b"" if continues else _shortened(video.name)
    tagged = colour != Colour() and not continues
    has_margins = video.margins != (before.margins if continues and before else NO_MARGINS)
    same_format = not continues and before is not None and _format(video) == _format(before)
    flags = TAGGED * tagged | FULL_RANGE * (colour.full_range and not continues) | CHECKED * (entry.checksum is not None)
    square = continues or video.pixel_aspect == 1
    flags |= (
        PIXEL_ASPECT * (not square)
        | CONTINUES * continues
        | MARGINS * has_margins
        | SAME_FORMAT * same_format
        | OWN_CONTEXTS * entry.has_contexts
    )
    data = varint(len(name)) + name + bytes([flags])
    if tagged:
        data += bytes([colour.primaries, colour.transfer, colour.matrix])
    aspect = () if square else video.pixel_aspect.as_integer_ratio()
    video_format = () if continues or same_format else _format(video)
    numbers = (video.frames, *video_format, *(video.margins if has_margins else ()), *aspect, len(entry.layers), *entry.layers)
    data += b"".join(map(varint, numbers))
    return data if entry.checksum is None else data + entry.checksum.to_bytes(CHECKSUM_BYTES, "little")


def check_limits(video: VideoSpec) -> None:
    """Check whether a file can hold `video`, before any other work; InputError if a field of its record would be out of its range."""
    what = ""
    if max(video.width, video.height) > MAX_SIDE:
        what = f"{video.width}x{video.height} pixels; a side has at most {MAX_SIDE}"
    elif video.height * video.width > MAX_WEIGHTS:
        what = f"{video.width}x{video.height} pixels; a frame has at most {MAX_WEIGHTS}"
    elif video.frames > MAX_FRAMES:
        what = f"{video.frames} frames; a video has at most {MAX_FRAMES}"
    if what:
        raise InputError("too-large", f"'{video.name}' has {what}", "--scale 1/2" if "pixels" in what else f"--frames 0:{MAX_FRAMES}")
    if max(video.fps.as_integer_ratio()) > MAX_RATE or max(video.pixel_aspect.as_integer_ratio()) > MAX_ASPECT:
        numbers = f"{video.fps} frames per second and pixels of {video.pixel_aspect}"
        raise InputError("odd-rate", f"'{video.name}' states {numbers}; a file cannot hold such numbers", "ffmpeg -i IN -r 25 OUT.mkv")


def _format(video: VideoSpec) -> tuple[int, int, int, int]:
    """Width, height, and frames per second as numerator and denominator. They are often the same for all videos of a bundle."""
    return video.width, video.height, video.fps.numerator, video.fps.denominator


def read_video_spec(fields: Fields, before: VideoSpec | None) -> tuple[VideoEntry, bool]:
    """Read the fields of a video record up to its range-coded stream, as an entry without tensors and weight masks.

    The second result tells whether tensors may be coded with context models of their own. `before` is the spec in the video record before
    it, None for the first one. BitstreamError if a field is out of its range.
    """
    try:
        name = fields.take(fields.varint(MAX_NAME_BYTES)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BitstreamError("bad-name", "a video's name is not UTF-8") from error
    flags = fields.byte()
    if flags & CONTINUES and (name or flags & (TAGGED | FULL_RANGE | SAME_FORMAT | PIXEL_ASPECT)):
        raise BitstreamError("reserved-bits", "reserved bits of a video are set", "pip install -U inr-codec")
    if flags & CONTINUES:
        spec = replace(_previous(before), frames=positive(fields, MAX_FRAMES))
        spec = replace(spec, margins=_read_margins(fields)) if flags & MARGINS else spec
    else:
        spec = _read_whole_video(fields, flags, name, before)
    layers = tuple(fields.varint(MAX_LAYERS) for _ in range(fields.varint(MAX_LAYERS)))
    checksum = int.from_bytes(fields.take(CHECKSUM_BYTES), "little") if flags & CHECKED else None
    return VideoEntry(spec, layers, {}, checksum=checksum, continues=bool(flags & CONTINUES)), bool(flags & OWN_CONTEXTS)


def _read_whole_video(fields: Fields, flags: int, name: str, before: VideoSpec | None) -> VideoSpec:
    """Read the spec of a video from a record that is not a further segment."""
    primaries, transfer, matrix = fields.take(3) if flags & TAGGED else (UNSPECIFIED,) * 3
    colour = Colour(primaries, transfer, matrix, bool(flags & FULL_RANGE))
    frames = positive(fields, MAX_FRAMES)
    limits = (MAX_SIDE, MAX_SIDE, MAX_RATE, MAX_RATE)
    video_format = _format(_previous(before)) if flags & SAME_FORMAT else tuple(positive(fields, limit) for limit in limits)
    width, height, numerator, denominator = video_format
    margins = _read_margins(fields) if flags & MARGINS else NO_MARGINS
    aspect = Fraction(positive(fields, MAX_ASPECT), positive(fields, MAX_ASPECT)) if flags & PIXEL_ASPECT else Fraction(1)
    return VideoSpec(width, height, frames, Fraction(numerator, denominator), colour, name, margins, aspect)


def _read_margins(fields: Fields) -> tuple[int, int, int, int]:
    above, left, below, right = (fields.varint(MAX_SIDE) for _ in range(4))
    return above, left, below, right


def _previous(before: VideoSpec | None) -> VideoSpec:
    """`before`, the spec in the video record before. BitstreamError if it is None, because the first record can refer to no other one."""
    if before is None:
        raise BitstreamError("out-of-range", "the first video record refers to a record before it")
    return before


def checked_specs(spec: NetworkSpec, video: VideoSpec) -> tuple[TensorSpec, ...]:
    """The specs of all tensors of a video. BitstreamError if it has too many weights or samples, or if a frame takes too long.

    A picture's network has one frame. See MAX_WEIGHTS and MAX_MACS.
    """
    if isinstance(spec.frame_input, Pyramid) and video.frames != 1:
        raise BitstreamError("out-of-range", f"a picture's network draws one frame, but the video has {video.frames}")
    tensors = tensor_specs(spec, video)
    weights = sum(tensor.size for tensor in tensors)
    samples = prod(video.canvas_size(spec)) * (1 + spec.canvas.half_samples) ** 2 if spec.canvas else video.height * video.width
    if max(weights, samples) > MAX_WEIGHTS:
        raise BitstreamError("too-large", f"{weights} weights and {samples} samples of a picture; the limit is {MAX_WEIGHTS} for each")
    cost, most = frame_cost(spec, video), MAX_MACS + MAX_PIXEL_MACS * samples
    if cost.features > MAX_WEIGHTS or cost.macs > most:
        what = f"features of {cost.features} values and {cost.macs:.3g} multiply-accumulates of a frame"
        raise BitstreamError("too-large", f"{what}; the limits are {MAX_WEIGHTS} and {most:.3g}")
    return tensors


def _shortened(name: str) -> bytes:
    """`name` as UTF-8, cut after the last whole character within MAX_NAME_BYTES bytes."""
    return name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").encode()

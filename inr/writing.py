"""Writes a video as mp4, mkv, y4m, PNG or npy. Each file is first written under a temporary name and then renamed."""

import re
import shutil
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from inr.decoding import ACCURATE
from inr.errors import UsageError
from inr.ffmpeg import pyav
from inr.files import check_free, flush, replaced, temporary_name
from inr.streams import Copies, Part
from inr.video import Video

SUFFIXES = (".mp4", ".mkv", ".y4m", ".png", ".npy")
NEAR_LOSSLESS = {"crf": "8", "preset": "medium"}  # options of x264
BT601 = 5  # H.273 code of the matrix of a video without tags, and of y4m, which cannot name its matrix
MATRICES = (1, 4, 5, 6, 7, 9)  # H.273 codes of the matrices that FFmpeg's scaler supports
PATTERN = "(?:[^%]|%%)*%[0-9]*d(?:[^%]|%%)*"  # of names with a number; "%%" means "%"
LIMITED, FULL = 1, 2  # FFmpeg's codes of the range of levels


def check_output(path: str, frames: int, overwrite: bool, source: Path | None = None) -> None:
    """Check that a video of `frames` frames can be written to `path`, before other work; `source` is the file that the command reads.

    UsageError or OutputError if it cannot.
    """
    if path == "-":
        return
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (*SUFFIXES, ""):
        raise UsageError("unknown-output", f"'{path}': cannot write '{suffix}', only {', '.join(SUFFIXES)}", f"{target.stem}.mkv")
    sources = [] if source is None else [source]
    if suffix not in (".png", ""):
        check_free(target, overwrite, sources)
        return
    if not suffix and not target.is_dir():
        check_free(target, overwrite, sources)  # a folder to be made
        return
    names = image_names(target, frames)
    if len(set(names)) < len(names):
        pattern = target.with_name(f"{target.stem}_%04d.png")
        raise UsageError("one-name-many-frames", f"'{path}' names one image, but there are {frames} frames", str(pattern))
    for name in names:
        check_free((target.parent if suffix else target) / name, overwrite, sources)


def image_names(target: Path, frames: int) -> list[str]:
    """The names of the PNG files for `target`: a pattern such as f_%04d.png, the name of one image, or a folder."""
    pattern = target.name if target.suffix else "frame_%04d.png"
    if not re.fullmatch(PATTERN, pattern):  # any '%' is a part of the name
        return [pattern] * frames
    return [pattern % index for index in range(frames)]


def write_video(video: Video, path: str, part: Part | None = None) -> str:
    """Write `video` to `path` in the format of the suffix. Returns a note on the format and its losses.

    mp4 and mkv get the streams and the times of frames of `part`. The path '-' means y4m on standard output. A path without a suffix is a
    folder of PNG files.
    """
    if path == "-":
        _write_y4m(video, _Pipe(sys.stdout.buffer))
        return "y4m 4:4:4, 8 bit"
    target = Path(path)
    if target.suffix.lower() in (".png", ""):
        _write_images(video, target)
        return "PNG, exact" + _lost_aspect(video)
    with replaced(target) as temporary:
        return _write_file(video, target.suffix.lower(), temporary, part)


def _lost_aspect(video: Video) -> str:
    """A remark on an output that cannot carry the shape of pixels."""
    aspect = video.pixel_aspect
    return "" if aspect == 1 else f"; it cannot say that pixels are {aspect.numerator}:{aspect.denominator}"


def _write_file(video: Video, suffix: str, temporary: Path, part: Part | None) -> str:
    """Write `video` to the file `temporary` in the format of `suffix`. Returns a note on the format and its losses."""
    match suffix:
        case ".mp4":
            chroma = "yuv444p" if video.width % 2 or video.height % 2 else "yuv420p"
            _write_container(video, str(temporary), Encoding("mp4", "libx264", chroma, NEAR_LOSSLESS), part)
            return f"x264 crf {NEAR_LOSSLESS['crf']} {chroma}: near-lossless, for viewing and not for measuring"
        case ".mkv":
            if video.pixel_aspect != 1:  # FFV1 has no place for it that FFmpeg's muxer fills
                _write_container(video, str(temporary), Encoding("matroska", "libx264rgb", "rgb24", {"qp": "0", "preset": "fast"}), part)
                return "lossless x264 in RGB, exact"
            # FFmpeg's encoder cannot divide one column among the slices of its level 3.
            _write_container(video, str(temporary), Encoding("matroska", "ffv1", "bgr0", {"level": "1"} if video.width == 1 else {}), part)
            return "FFV1 in RGB, exact"
        case ".y4m":
            with temporary.open("wb") as file:
                _write_y4m(video, file)
            return "y4m 4:4:4, 8 bit"
        case _:
            with temporary.open("wb") as file:
                np.save(file, video.frames)
            return "uint8 array (frames, height, width, 3), exact" + _lost_aspect(video)


def _write_images(video: Video, target: Path) -> None:
    """Write PNG files: into the folder `target` if it has no suffix, under numbered names for a pattern, otherwise one file."""
    import imageio.v3 as iio

    folder, names = target.parent if target.suffix else target, image_names(target, len(video))
    scratch = temporary_name(target)
    scratch.mkdir()
    try:
        for name, frame in zip(names, video.frames, strict=True):
            (scratch / name).write_bytes(iio.imwrite("<bytes>", frame, extension=".png", plugin="pillow"))
            flush(scratch / name)
        folder.mkdir(exist_ok=True)
        for name in names:
            (scratch / name).replace(folder / name)
        flush(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Pipe:
    """A binary output that takes the rest of its data to nowhere after its reader has gone: FFmpeg would fail in the middle of a frame."""

    def __init__(self, file: BinaryIO):
        self._file, self._open = file, True

    def write(self, data: bytes) -> int:
        try:
            if self._open:
                self._file.write(data)
        except BrokenPipeError:
            self._open = False
        return len(data)


class _WithAspect:
    """A binary file for y4m, whose header gets the pixel aspect: FFmpeg's muxer leaves it unknown, `A0:0`."""

    def __init__(self, file: "BinaryIO | _Pipe", aspect: Fraction):
        self._file, self._replaced = file, b" A%d:%d " % aspect.as_integer_ratio()

    def write(self, data: bytes) -> int:
        header, newline, rest = bytes(data).partition(b"\n")
        if self._replaced and header.startswith(b"YUV4MPEG2 "):
            self._file.write(header.replace(b" A0:0 ", self._replaced) + newline + rest)
            self._replaced = b""
        else:
            self._file.write(data)
        return len(data)


def _write_y4m(video: Video, file: BinaryIO | _Pipe) -> None:
    _write_container(video, cast(BinaryIO, _WithAspect(file, video.pixel_aspect)), Encoding("yuv4mpegpipe", "rawvideo", "yuv444p", {}))


class Encoding(NamedTuple):
    """FFmpeg's names of a format, an encoder and a pixel format, and the options of the encoder."""

    container: str
    codec: str
    pixels: str
    options: Mapping[str, str]


def _write_container(video: Video, file: str | BinaryIO, encoding: Encoding, part: Part | None = None) -> None:
    """Write `file` with FFmpeg, with the streams and the times of `part`.

    The tags say how the samples were made from R'G'B', also where the source has no tags, because players guess a missing tag.
    """
    av, (container, codec, pixels, options) = pyav(), encoding
    rgb, named = "yuv" not in pixels, container != "yuv4mpegpipe"
    matrix = video.colour.matrix if named and video.colour.matrix in MATRICES else BT601
    levels = FULL if video.colour.full_range and named and not rgb else LIMITED
    times = part.times if part else ()
    with av.open(file, "w", format=container) as output:
        stream = cast(Any, output.add_stream(codec, rate=video.fps, options=dict(options)))
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, pixels
        stream.sample_aspect_ratio = video.pixel_aspect
        if times and part:
            stream.codec_context.time_base = part.streams.tick
        if not rgb:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = levels
            stream.codec_context.color_primaries = video.colour.primaries
            stream.codec_context.color_trc = video.colour.transfer
        copies = Copies(part, output) if part else None
        for index, rgb_frame in enumerate(video.frames):
            frame = av.VideoFrame.from_ndarray(rgb_frame, format="rgb24")
            if not rgb:
                frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=levels, interpolation=ACCURATE)
            if times and part:
                frame.time_base = part.streams.tick
                frame.pts = int(times[index] / part.streams.tick)
            if copies:
                copies.until(times[index] if times else index / video.fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if copies:
            copies.until()

"""Writes a video as mp4, mkv, y4m, PNG or npy. Each file is first written under a temporary name and then renamed."""

import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from inr.errors import OutputError, UsageError
from inr.video import UNSPECIFIED, Video

SUFFIXES = (".mp4", ".mkv", ".y4m", ".png", ".npy")
NEAR_LOSSLESS = {"crf": "8", "preset": "medium"}  # options of x264
BT601 = 5  # H.273 code of the matrix that is used for a video without tags
MATRICES = (1, 4, 5, 6, 7, 9)  # H.273 codes of the matrices that FFmpeg's scaler supports


def check_output(path: str, frames: int, overwrite: bool) -> None:
    """Raise UsageError or OutputError if a video of `frames` frames cannot be written to `path`. Callers check this before other work."""
    if path == "-":
        return
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (*SUFFIXES, ""):
        raise UsageError("unknown-output", f"'{path}': cannot write '{suffix}', only {', '.join(SUFFIXES)}", f"{target.stem}.mkv")
    if suffix == ".png" and frames > 1 and "%" not in target.name:
        pattern = target.with_name(f"{target.stem}_%04d.png")
        raise UsageError("one-name-many-frames", f"'{path}' names one image, but there are {frames} frames", str(pattern))
    check_free(target, overwrite)


def check_free(target: Path, overwrite: bool) -> None:
    """Raise OutputError if `target`'s folder is missing or not writable, or if `target` exists and may not be replaced."""
    if not target.parent.is_dir():
        raise OutputError("no-folder", f"the output's folder does not exist: '{target.parent}'", f"mkdir -p '{target.parent}'")
    if not os.access(target.parent, os.W_OK):
        raise OutputError("not-writable", f"the output's folder is not writable: '{target.parent}'", f"/tmp/{target.name}")
    if target.exists() and not overwrite:
        raise OutputError("output-exists", f"'{target}' exists already; nothing was written", "--overwrite, or another name")


def temporary_name(target: Path) -> Path:
    """The path in `target`'s folder that is written first and then renamed to `target`."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` under a temporary name, flush it to disk, and rename it to `target`. A failure leaves `target` as it was."""
    temporary = temporary_name(target)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_video(video: Video, path: str) -> str:
    """Write `video` to `path` in the format of the suffix. Returns a note on the format and its losses.

    The path '-' means y4m on standard output. A path without a suffix is a folder of PNG files.
    """
    if path == "-":
        _write_container(video, sys.stdout.buffer, "yuv4mpegpipe", "rawvideo", "yuv444p")
        return "y4m 4:4:4, 8 bit"
    target = Path(path)
    if target.suffix.lower() in (".png", ""):
        _write_images(video, target)
        return "PNG, exact"
    temporary = temporary_name(target)
    try:
        note = _write_file(video, target.suffix.lower(), temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return note


def _write_file(video: Video, suffix: str, temporary: Path) -> str:
    """Write `video` to the file `temporary` in the format of `suffix`. Returns a note on the format and its losses."""
    match suffix:
        case ".mp4":
            chroma = "yuv444p" if video.width % 2 or video.height % 2 else "yuv420p"
            _write_container(video, str(temporary), "mp4", "libx264", chroma, NEAR_LOSSLESS)
            return f"x264 crf {NEAR_LOSSLESS['crf']} {chroma}: near-lossless, for viewing and not for measuring"
        case ".mkv":
            _write_container(video, str(temporary), "matroska", "ffv1", "bgr0")
            return "FFV1 in RGB, exact"
        case ".y4m":
            _write_container(video, str(temporary), "yuv4mpegpipe", "rawvideo", "yuv444p")
            return "y4m 4:4:4, 8 bit"
        case _:
            with temporary.open("wb") as file:
                np.save(file, video.frames)
            return "uint8 array (frames, height, width, 3), exact"


def _write_images(video: Video, target: Path) -> None:
    """Write PNG files: into the folder `target` if it has no suffix, under numbered names if it contains %d, otherwise one file."""
    import imageio.v3 as iio

    folder = target if not target.suffix else target.parent
    pattern = "frame_%04d.png" if not target.suffix else target.name
    scratch = temporary_name(target)
    scratch.mkdir()
    try:
        names = [pattern % index if "%" in pattern else pattern for index in range(len(video))]
        for name, frame in zip(names, video.frames, strict=True):
            iio.imwrite(scratch / name, frame, extension=".png", plugin="pillow")
        folder.mkdir(exist_ok=True)
        for name in names:
            (scratch / name).replace(folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_container(
    video: Video, file: str | BinaryIO, container: str, codec: str, pixels: str, options: dict[str, str] | None = None
) -> None:
    """Write `file` with FFmpeg. `container`, `codec` and `pixels` are FFmpeg's names of a format, an encoder and a pixel format."""
    import av

    rgb = pixels == "bgr0"
    matrix = video.colour.matrix if video.colour.matrix in MATRICES else BT601
    # FFmpeg's codes of the range of levels: 1 is limited, 2 is full.
    levels = 2 if video.colour.full_range and not rgb and container != "yuv4mpegpipe" else 1
    with av.open(file, "w", format=container) as output:
        stream = cast(av.VideoStream, output.add_stream(codec, rate=video.fps, options=options or {}))
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, pixels
        if not rgb and video.colour.matrix != UNSPECIFIED:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = levels
            stream.codec_context.color_primaries = video.colour.primaries
            stream.codec_context.color_trc = video.colour.transfer
        for rgb_frame in video.frames:
            frame = av.VideoFrame.from_ndarray(rgb_frame, format="rgb24")
            if not rgb:
                frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=levels)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())

"""Runs FFmpeg: converts RGB frames to Y'CbCr, encodes streams, and decodes them. The extra `eval` must be installed."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from inr.errors import InputError, ResourceError
from inr.files import temporary_name
from inr.pixels import CHANNELS, Frames
from inr.video import Video

# All codecs share one conversion in each direction: BT.601, limited range, chroma between the pixels, exact scaling.
SCALER = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
TO_YUV = f"scale=out_color_matrix=bt601:out_range=tv:out_chroma_loc=center:{SCALER}"
TO_RGB = f"scale=in_color_matrix=bt601:in_range=tv:in_chroma_loc=center:{SCALER},format=rgb24"


def executable() -> str:
    """The path of imageio-ffmpeg's FFmpeg, or of the one in IMAGEIO_FFMPEG_EXE; ResourceError if there is none."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ResourceError("no-ffmpeg", f"imageio-ffmpeg has no FFmpeg for this machine: {error}", "IMAGEIO_FFMPEG_EXE=ffmpeg") from error


def version() -> str:
    """The version of FFmpeg, as FFmpeg prints it."""
    return run_ffmpeg(["-version"], Path()).decode(errors="replace").split()[2]


def encoders() -> set[str]:
    """The names of the encoders that FFmpeg was built with."""
    lines = run_ffmpeg(["-hide_banner", "-encoders"], Path()).decode(errors="replace").splitlines()
    return {words[1] for words in map(str.split, lines) if len(words) > 1}


def run_ffmpeg(arguments: list[str], folder: Path, data: bytes = b"") -> bytes:
    """Run FFmpeg in `folder` with `data` on its standard input; returns its standard output. InputError if it fails."""
    with tempfile.TemporaryFile() as messages:  # SVT-AV1 prints messages at every log level
        done = subprocess.run([executable(), *arguments], input=data, cwd=folder, stdout=subprocess.PIPE, stderr=messages, check=False)
        messages.seek(0)
        lines = messages.read().decode(errors="replace").strip().splitlines()
    if done.returncode:
        last = lines[-1] if lines else f"exit code {done.returncode}"
        message = next((line for line in lines if "rror" in line or "nvalid" in line), last)
        raise InputError("ffmpeg-failed", f"ffmpeg {' '.join(arguments)}: {message}", "omit this codec or this clip")
    return done.stdout


def write_y4m(video: Video, target: Path) -> None:
    """Write a clip as y4m for all encoders: 4:2:0, or 4:4:4 if its width or height is odd."""
    chroma = "yuv444p" if video.width % 2 or video.height % 2 else "yuv420p"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{video.width}x{video.height}", "-framerate", str(video.fps), "-i", "-"]
    unfinished = temporary_name(target)
    command = ["-v", "error", "-y", *raw, "-vf", f"{TO_YUV},format={chroma}", "-f", "yuv4mpegpipe", f"./{unfinished.name}"]
    try:
        run_ffmpeg(command, target.parent, video.frames.tobytes())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def read_stream(stream: Path, container: str, height: int, width: int, threads: int, rgb: bool = False) -> Frames:
    """All frames of a stream in 8-bit R'G'B'; InputError if FFmpeg cannot decode it. `rgb` says that the stream holds RGB, not Y'CbCr."""
    source = ["-v", "error", "-threads", str(threads), "-f", container, "-i", f"./{stream.name}"]
    converted = ["-fps_mode", "passthrough", "-vf", "format=rgb24" if rgb else TO_RGB, "-f", "rawvideo", "-"]
    pixels = run_ffmpeg([*source, *converted], stream.parent)
    return np.frombuffer(pixels, np.uint8).reshape(-1, height, width, CHANNELS)

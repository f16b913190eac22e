"""The commands that need no training code: decode, info, eval, compare, retarget, and several commands of `inr bundle`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from codec.bundle_cli import bundle_application
from codec.option_groups import with_option_groups
from codec.report.command import compare_command
from codec.shell import STARTED, BackendName, FrameSpan, Json, Overwrite, ReferenceFlags, VideoName, emit, leave, run, say
from inr.backend import Backend

application = typer.Typer(
    name="inr",
    help="Encode a video or image as a small neural network in one complete file, and decode it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

application.add_typer(bundle_application)
application.command("compare")(compare_command)


@dataclass(frozen=True)
class DecodeFlags:
    """The options that select what `inr decode` renders (frames, video, frame rate), and with what."""

    frames: FrameSpan = ""
    video: VideoName = ""
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second of OUT (experimental). Default: those of IN.")] = None
    backend: BackendName = Backend.AUTO


@application.command("decode")
@with_option_groups
def decode_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help=".mp4 .mkv .y4m .npy, a .png pattern (f_%04d.png), a folder, or - (y4m).")],
    flags: DecodeFlags = DecodeFlags(),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Decode a file to a video in the format of OUT's suffix.

    With --fps, the network interpolates frames at times between two frames of the source.
    mp4 is near-lossless x264 for viewing; mkv, PNG and npy hold the exact decoded pixels.
    """
    import time

    import numpy as np

    from codec.decoder import decode
    from codec.loading import checked_fps, read_file, video_index
    from codec.streams import streams_of
    from inr.errors import UsageError
    from inr.span import parse_span
    from inr.streams import SOUND_SUFFIXES, Part
    from inr.video import Video
    from inr.writing import check_output, write_video

    if target == "-" and as_json:
        raise UsageError("two-outputs", "OUT - and --json both write to standard output", "decode to a file, or omit --json")
    data = read_file(source)
    model = decode(data)
    index = video_index(model, flags.video)
    spec = model.clip_spec(index)
    times = np.arange(spec.frames)[slice(*parse_span(flags.frames))]  # indices of frames; with --fps also between two frames
    if not len(times):
        raise UsageError("no-frames", f"--frames {flags.frames} selects none of {spec.frames} frames", f"--frames 0:{spec.frames}")
    rate = spec.fps if flags.fps is None else checked_fps(flags.fps)
    has_sound = not index and Path(target).suffix.lower() in SOUND_SUFFIXES  # streams belong to the first video of a file
    part = Part.of(streams_of(data), spec.frames, spec.fps, int(times[0]), int(times[-1]) + 1) if has_sound else None
    if part and flags.fps is not None:
        part = replace(part, times=())
    times = times if flags.fps is None else np.arange(times[0], times[-1] + 1e-6, float(spec.fps / rate))
    check_output(target, len(times), overwrite, source)
    flags.backend.prepare()
    began = time.monotonic()
    pixels = model.render(times, index, flags.backend)
    rendered = time.monotonic() - began
    note = write_video(Video(pixels, rate, spec.colour, spec.name, spec.pixel_aspect), target, part)
    facts = {"output": target, "width": spec.width, "height": spec.height, "frames": len(times), "fps": float(rate)}
    seconds = time.monotonic() - STARTED
    if as_json:
        emit("result", **facts, note=note, seconds=seconds, render_seconds=rendered)
    else:
        say(f"{target}   {spec.width}x{spec.height}, {len(times)} frames, {seconds:.1f} s   ({note})")


@application.command("info")
def info_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")], video: VideoName = "", as_json: Json = False
) -> None:
    """Show the contents of a file and the bytes of each part."""
    from codec.description import describe, describe_lines
    from codec.loading import read_file

    facts = describe(read_file(source), str(source), video)
    if as_json:
        emit("result", **facts)
    else:
        print("\n".join(describe_lines(facts)))


@application.command("eval")
@with_option_groups
def eval_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file, or any video.")],
    reference: Annotated[Path, typer.Option("--ref", metavar="REF", help="The source video of IN.")],
    flags: ReferenceFlags = ReferenceFlags(),  # noqa: B008
    per_frame: Annotated[Path | None, typer.Option("--per-frame", metavar="CSV", help="Write the PSNR of each frame to this file.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare a file, or any video, with its source.

    Print PSNR and MS-SSIM in 8-bit RGB, and the bits per pixel of the whole file.
    """
    from codec.clip import decoded_frames
    from codec.evaluation import compare
    from codec.loading import is_inr_file, read_file
    from codec.streams import streams_bytes
    from inr.files import check_free, write_atomically
    from inr.reading import read_video
    from inr.scale import Scale
    from inr.span import parse_span

    if per_frame is not None:
        check_free(per_frame, overwrite, [source, reference])
    flags.backend.prepare()
    pixels, size = decoded_frames(source, flags.video, flags.backend)
    original = read_video(reference, parse_span(flags.frames), Scale.parse(flags.scale))
    report = compare(pixels, original.frames, size)
    if is_inr_file(source):
        report = report.with_streams(streams_bytes(read_file(source)))
    if per_frame is not None:
        rows = "".join(f"{frame},{value}\n" for frame, value in enumerate(report.frame_psnr_rgb))
        write_atomically(per_frame, f"frame,psnr_rgb\n{rows}".encode())
    facts: dict[str, object] = {"output": str(source)} | report.fields()
    facts |= {"width": original.width, "height": original.height, "frames": len(original), "fps": float(original.fps)}
    if as_json:
        emit("result", **facts)
    else:
        similarity = "" if report.ms_ssim_rgb is None else f", MS-SSIM {report.ms_ssim_rgb:.4f}"
        print(f"{source}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB{similarity} (RGB)")


SmallerFile = Annotated[Path, typer.Argument(metavar="OUT", help="The smaller .inr file.")]
SizeLimit = Annotated[str, typer.Option("--target-size", metavar="120kB", help="The largest size of OUT: kB, MB, KiB, or bytes.")]


@application.command("retarget")
def retarget_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    target: SmallerFile,
    size: SizeLimit,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a file smaller in seconds, without its source.

    The tensors that affect the picture least get larger step sizes.
    A new fit to the same size gives a better picture, above all if the size is much smaller.
    """
    from codec.decoder import decode
    from codec.loading import read_file
    from codec.retarget import retarget
    from codec.sizes import parse_size
    from codec.streams import streams_bytes, streams_of, with_streams
    from inr.files import check_inr, write_atomically
    from inr.streams import Streams

    cap = parse_size(size)
    check_inr(target, overwrite, [source])
    data = read_file(source)
    model = decode(data)
    Backend.AUTO.prepare()
    beside, streams = streams_bytes(data), streams_of(data)
    smaller = retarget(with_streams(data, Streams()), model, cap - beside)
    write_atomically(target, with_streams(smaller.data, streams))
    pixels = sum(video.spec.pixels for video in model.videos)
    sizes = len(data), len(smaller.data) + beside
    report_retargeted(source, target, sizes, 8 * len(smaller.data) / pixels, smaller.psnr_to_input, as_json)


def report_retargeted(source: Path, target: Path, sizes: tuple[int, int], bpp: float, psnr: float, as_json: bool) -> None:
    """Report the outcome of `inr retarget`: bytes before and after, bits per pixel, and the PSNR against the old file's frames."""
    import time

    if as_json:
        facts = {"bytes": sizes[1], "bpp": bpp, "psnr_rgb_to_input": psnr}
        emit("result", output=str(target), **facts, seconds=time.monotonic() - STARTED)
    else:
        say(f"{target}   {sizes[1]} bytes instead of {sizes[0]}; PSNR {psnr:.2f} dB against '{source}'")


def main() -> None:
    """Entry point of `python -m codec`."""
    leave(run(application))

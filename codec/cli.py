"""The verbs that need no training code: decode, info, eval, retarget; and those of bundles."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from codec.bundle_cli import bundle_application
from codec.report.command import compare_command
from codec.shell import STARTED, FrameSpan, Json, Overwrite, ScaleText, emit, run, say, span

application = typer.Typer(
    name="inr",
    help="Videos as small neural networks: one complete file, and back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VideoName = Annotated[str, typer.Option("--video", metavar="NAME", help="Which video, in a file of several; default: the first.")]
application.add_typer(bundle_application)
application.command("compare")(compare_command)


@application.command("decode")
def decode_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help=".mp4 .mkv .y4m .npy, a .png pattern (f_%04d.png), a folder, or - (y4m).")],
    frames: FrameSpan = "",
    video: VideoName = "",
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second, between the source's too (experimental).")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a file back into a video, by OUT's extension.

    With --fps, frames between two are what the network gives for times between theirs.
    mp4 is near-lossless x264 to look at; mkv, PNG and npy hold the exact decoded pixels.
    """
    import time

    import numpy as np

    from codec.loading import checked_fps, open_model, video_index
    from inr.errors import UsageError
    from inr.runtime import prepare_jax
    from inr.video import Video
    from inr.writing import check_output, write_video

    if target == "-" and as_json:
        raise UsageError("two-outputs", "- and --json both want standard output", "decode to a file, or leave --json out")
    model, _ = open_model(source)
    index = video_index(model, video)
    spec = model.clip_spec(index)
    wanted = np.arange(spec.frames)[slice(*span(frames))]
    if not len(wanted):
        raise UsageError("no-frames", f"--frames {frames} selects none of {spec.frames} frames", f"--frames 0:{spec.frames}")
    rate = spec.fps if fps is None else checked_fps(fps)
    wanted = wanted if fps is None else np.arange(wanted[0], wanted[-1] + 1e-6, float(spec.fps / rate))
    check_output(target, len(wanted), overwrite)
    prepare_jax()
    began = time.monotonic()
    pixels = model.render(wanted, index)
    rendered = time.monotonic() - began
    note = write_video(Video(pixels, rate, spec.colour, spec.name), target)
    facts = {"output": target, "width": spec.width, "height": spec.height, "frames": len(wanted), "fps": float(rate)}
    seconds = time.monotonic() - STARTED
    if as_json:
        emit("result", **facts, note=note, seconds=seconds, render_seconds=rendered)
    else:
        say(f"{target}   {spec.width}x{spec.height}, {len(wanted)} frames, {seconds:.1f} s   ({note})")


@application.command("info")
def info_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")], video: VideoName = "", as_json: Json = False
) -> None:
    """Say what a file holds and where its bytes go."""
    from codec.description import describe, describe_lines
    from codec.loading import read_file

    facts = describe(read_file(source), str(source), video)
    if as_json:
        emit("result", **facts)
    else:
        print("\n".join(describe_lines(facts)))


@application.command("eval")
def eval_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file, or any video.")],
    reference: Annotated[Path, typer.Option("--ref", metavar="REF", help="The source to measure against.")],
    frames: Annotated[str, typer.Option("--frames", metavar="A:B", help="Which frames of the reference IN holds.")] = "",
    scale: ScaleText = "",
    video: VideoName = "",
    per_frame: Annotated[Path | None, typer.Option("--per-frame", metavar="CSV", help="Write each frame's PSNR here.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure a file, or any video, against its source: PSNR and MS-SSIM in 8-bit RGB, bits of the whole file."""
    from codec.clip import decoded_frames
    from codec.evaluation import compare
    from inr.reading import read_video
    from inr.runtime import prepare_jax
    from inr.scale import Scale
    from inr.writing import check_free, write_atomically

    if per_frame is not None:
        check_free(per_frame, overwrite)
    prepare_jax()
    pixels, size = decoded_frames(source, video)
    original = read_video(reference, span(frames), Scale.parse(scale))
    report = compare(pixels, original.frames, size)
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


@application.command("retarget")
def retarget_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The smaller .inr file.")],
    size: Annotated[str, typer.Option("--target-size", metavar="120kB", help="At most this: kB, MB, KiB, or bytes.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a file smaller in seconds, without its source: wider steps where the picture suffers least.

    A new fit at that size is better, and the further below the file's size the more so.
    """
    import time

    from codec.decoder import decode
    from codec.loading import read_file
    from codec.retarget import retarget
    from codec.sizes import parse_size
    from inr.runtime import prepare_jax
    from inr.writing import check_free, write_atomically

    cap = parse_size(size)
    check_free(target, overwrite)
    data = read_file(source)
    model = decode(data)
    prepare_jax()
    done = retarget(data, model, cap)
    write_atomically(target, done.data)
    pixels = sum(video.spec.pixels for video in model.videos)
    facts = {"bytes": len(done.data), "bpp": 8 * len(done.data) / pixels, "psnr_rgb_to_input": done.psnr_to_input}
    if as_json:
        emit("result", output=str(target), **facts, seconds=time.monotonic() - STARTED)
    else:
        say(f"{target}   {len(done.data)} bytes of {len(data)}; PSNR {done.psnr_to_input:.2f} dB against the picture of '{source}'")


def main() -> None:
    """Entry point of `python -m codec`."""
    sys.exit(run(application))

"""`inr compare`: files beside their source, as a page, a sheet or a video."""

from pathlib import Path
from typing import Annotated

import typer

from codec.shell import FrameSpan, Json, Overwrite, ScaleText, emit, say, span
from inr.errors import UsageError


def compare_command(
    sources: Annotated[list[Path], typer.Argument(metavar="A [B...]", help=".inr files, or any videos.")],
    reference: Annotated[Path, typer.Option("--ref", metavar="SRC", help="The source of all of them.")],
    target: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help=".html: a page; .png: a sheet; .mp4, .mkv: side by side.")],
    frames: FrameSpan = "",
    scale: ScaleText = "",
    video: Annotated[str, typer.Option("--video", metavar="NAME", help="Which video, in a file of several.")] = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show files beside their source: wipe, difference, flicker, PSNR and bits of each frame, where the bytes go.

    The page is one file that needs no network. --frames are those of SRC that the files hold.
    """
    from codec.report.measuring import compared
    from codec.report.page import page
    from codec.report.pictures import sheet, side_video
    from inr.runtime import prepare_jax
    from inr.scale import Scale
    from inr.writing import check_free, check_output, write_atomically

    kind = Path(target).suffix.lower()
    if kind not in (".html", ".png", ".mp4", ".mkv"):
        raise UsageError("unknown-output", f"-o {target}: a report is .html, .png, .mp4 or .mkv", "-o report.html")
    check_free(Path(target), overwrite) if kind == ".html" else check_output(target, 1, overwrite)
    prepare_jax()
    comparison = compared(reference, sources, span(frames), video, Scale.parse(scale))
    match kind:
        case ".html":
            write_atomically(Path(target), page(comparison).encode())
        case ".png":
            sheet(comparison, target)
        case _:
            side_video(comparison, target)
    figures = {candidate.name: candidate.report.fields() for candidate in comparison.compared_files}
    size = Path(target).stat().st_size
    if as_json:
        emit("result", output=target, bytes=size, compared_files=figures)
        return
    for candidate in comparison.compared_files:
        report = candidate.report
        say(f"{candidate.name}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB")
    say(f"{target}   {size} bytes")

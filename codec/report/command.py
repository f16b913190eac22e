"""The command `inr compare`, which shows decoded files next to their source on a page, on a sheet of frames, or in a video."""

from pathlib import Path
from typing import Annotated

import typer

from codec.option_groups import with_option_groups
from codec.shell import Json, Overwrite, ReferenceFlags, emit, say
from inr.errors import UsageError


@with_option_groups
def compare_command(
    sources: Annotated[list[Path], typer.Argument(metavar="A [B...]", help=".inr files, or any videos.")],
    reference: Annotated[Path, typer.Option("--ref", metavar="SRC", help="The source of all these files.")],
    target: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help=".html: page; .png: sheet of frames; .mp4, .mkv: side by side.")
    ],
    flags: ReferenceFlags = ReferenceFlags(),  # noqa: B008
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Show files next to their source on an HTML page, on a sheet of frames, or in a video.

    The page has wipe, difference and flicker views, PSNR and bits of each frame, and bytes of each tensor.
    It is one file and needs no network access.
    --frames selects the frames of SRC that the files hold.
    """
    from codec.report.measuring import compared
    from codec.report.page import page
    from codec.report.pictures import sheet, side_video
    from inr.files import check_free, write_atomically
    from inr.scale import Scale
    from inr.span import parse_span
    from inr.writing import check_output

    kind = Path(target).suffix.lower()
    if kind not in (".html", ".png", ".mp4", ".mkv"):
        raise UsageError("unknown-output", f"-o {target}: the suffix of a report must be .html, .png, .mp4 or .mkv", "-o report.html")
    for read in (reference, *sources):
        check_free(Path(target), overwrite, [read]) if kind == ".html" else check_output(target, 1, overwrite, read)
    flags.backend.prepare()
    comparison = compared(reference, sources, parse_span(flags.frames), flags.video, Scale.parse(flags.scale), flags.backend)
    match kind:
        case ".html":
            write_atomically(Path(target), page(comparison).encode())
        case ".png":
            sheet(comparison, target)
        case _:
            side_video(comparison, target)
    figures = {file.name: file.report.fields() for file in comparison.compared_files}
    size = Path(target).stat().st_size
    if as_json:
        emit("result", output=target, bytes=size, compared_files=figures)
        return
    for file in comparison.compared_files:
        report = file.report
        say(f"{file.name}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB")
    say(f"{target}   {size} bytes")

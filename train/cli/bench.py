"""The verb `inr bench`. All options are checked before the first fit."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.option_groups import with_option_groups
from codec.shell import Json, emit, say
from inr.errors import TargetMissed, UsageError
from train.cli.arguments import PREEMPTED, SelectionFlags

if TYPE_CHECKING:
    from train.bench.plan import Plan


@dataclass(frozen=True)
class CurveFlags:
    """The codecs, and the points of their curves."""

    codecs: Annotated[
        str, typer.Option(metavar="A,B,...", help="Any of inr, x264, x265, svtav1, vvenc; for pictures jpeg, webp, avif, jxl too.")
    ] = ""
    points: Annotated[int, typer.Option(metavar="N", help="Number of points on each curve.")] = 5
    anchor: Annotated[str, typer.Option(metavar="CODEC", help="Reference of BD-rates. Default: x265, else the first codec.")] = ""
    bpp: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Lowest and highest rate of inr, in bits per pixel.")] = ""
    preset: Annotated[str, typer.Option("--preset", "-p", help="Effort of each fit: fast, medium or slow, or a number of steps.")] = (
        "medium"
    )
    time_budget: Annotated[str, typer.Option(metavar="2m", help="Time for each fit: 90s, 10m, 2h.")] = ""
    threads: Annotated[int | None, typer.Option(metavar="N", help="Number of cores to use. Default: all.")] = None
    curves: Annotated[Path | None, typer.Option(metavar="CSV", help="Curves to draw beside: columns codec, clip, bpp, psnr_rgb.")] = None


Clips = Annotated[list[Path], typer.Argument(metavar="CLIPS...", help="Sources as for encode: videos, folders or globs of images, images.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for results.csv, rd.png, report.html and streams.")]


@with_option_groups
def bench_command(
    clips: Clips,
    curves: CurveFlags = CurveFlags(),
    selection: SelectionFlags = SelectionFlags(),  # noqa: B008
    folder: Folder = Path("bench"),
    as_json: Json = False,
) -> int:
    """Compare with other codecs: rate-distortion curves and BD-rates, as a table, a picture and a page.

    Measured points are kept: after an interruption, the same command measures only the points that are missing.
    """
    from inr.scale import Scale
    from train.bench.arguments import CurveOptions, parse_codecs, parse_plan, parse_range
    from train.bench.plan import Network
    from train.bench.references import read_references
    from train.fit.interrupts import Preempted
    from train.plan.options import Preset
    from train.plan.texts import seconds

    network = Network(Preset.parse(curves.preset).name, curves.time_budget, seconds(curves.time_budget))
    codecs = parse_codecs(curves.codecs, curves.anchor, network)
    if curves.points < 1:
        raise UsageError("points-range", f"--points {curves.points}: a curve has at least one point", "--points 5")
    Scale.parse(selection.scale)
    references = read_references(curves.curves) if curves.curves else ()
    bpp = parse_range(curves.bpp)
    options = CurveOptions(codecs, curves.anchor, curves.points, bpp, curves.threads, network, references)
    plan = parse_plan(clips, folder, options, (selection.frames, selection.scale))
    try:
        facts = _bench(plan, as_json)
    except Preempted:
        say("pre-empted: the measured points are kept; run the same command again to continue")
        if as_json:
            emit("error", id="pre-empted", message=f"saved in '{folder}'", fix="run the same command again", exit_code=PREEMPTED)
        return PREEMPTED
    if as_json:
        emit("result", **facts)
    return 0


def _bench(plan: "Plan", as_json: bool) -> dict[str, object]:
    """Measure all points, write the results and print the BD-rates; returns the fields of the result line."""
    from inr.files import write_atomically
    from inr.runtime import prepare_jax
    from train.bench.curves import bd_rates
    from train.bench.picture import rd_picture
    from train.bench.points import measure
    from train.bench.report import html_page, print_table
    from train.bench.running import Runner
    from train.cli.display import reporter

    prepare_jax()
    plan.folder.mkdir(parents=True, exist_ok=True)
    measured, left_out = measure(plan, Runner(lambda: reporter(as_json)), say)
    if not measured:
        raise TargetMissed("no-points", f"no point could be measured: {left_out[0]}", "a higher --bpp LOW:HIGH")
    rates, page = bd_rates(measured, plan.anchor), plan.folder / "report.html"
    picture = rd_picture(measured, plan.references)
    write_atomically(plan.folder / "rd.png", picture)
    write_atomically(page, html_page(plan, measured, left_out, rates, picture).encode())
    print_table(rates, plan.anchor)
    say(f"{page}   {len(measured)} points; {plan.folder / 'results.csv'} has all figures, {plan.folder / 'streams'} has the files")
    rows = [asdict(point) for point in measured]
    return {"output": str(page), "anchor": plan.anchor, "points": rows, "bd_rate": rates, "left_out": left_out}

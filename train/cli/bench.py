"""`inr bench` as the command line knows it: every mistake is found before anything is spent."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.shell import Json, emit, say
from inr.errors import TargetMissed, UsageError
from train.cli.arguments import PREEMPTED, SelectionFlags, seconds, with_option_groups

if TYPE_CHECKING:
    from train.bench.plan import Plan


@dataclass(frozen=True)
class CurveFlags:
    """The codecs, and the points of their curves."""

    codecs: Annotated[str, typer.Option(metavar="A,B,...", help="Of inr, x264, x265, svtav1, vvenc.")] = "inr,x264,x265,svtav1"
    points: Annotated[int, typer.Option(metavar="N", help="Points on each curve.")] = 5
    anchor: Annotated[str, typer.Option(metavar="CODEC", help="Reference of BD-rates; x265 if it takes part, else the first codec.")] = ""
    bpp: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Rates of inr's points, bits per pixel.")] = "0.02:0.2"
    preset: Annotated[str, typer.Option("--preset", "-p", help="Of each fit: fast, medium or slow, or a number of steps.")] = "medium"
    time_budget: Annotated[str, typer.Option(metavar="2m", help="For each fit: 90s, 10m, 2h.")] = ""
    threads: Annotated[int | None, typer.Option(metavar="N", help="Cores to use; all of them by default.")] = None


Clips = Annotated[list[Path], typer.Argument(metavar="CLIPS...", help="Sources as for encode: videos, folders or globs of images, images.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="results.csv, rd.png, report.html, streams.")]


@with_option_groups
def bench_command(
    clips: Clips,
    curves: CurveFlags = CurveFlags(),
    selection: SelectionFlags = SelectionFlags(),  # noqa: B008
    folder: Folder = Path("bench"),
    as_json: Json = False,
) -> int:
    """Compare with other codecs: rate-distortion curves and BD-rates, as a table, a picture and a page.

    Finished points are kept: the same command goes on where it was stopped, and measures nothing twice.
    """
    from inr.scale import Scale
    from train.bench.arguments import CurveOptions, parse_codecs, parse_plan, parse_range
    from train.bench.plan import Network
    from train.fit.interrupts import Preempted
    from train.plan.options import Preset

    network = Network(Preset.parse(curves.preset).name, curves.time_budget, seconds(curves.time_budget))
    chosen = parse_codecs(curves.codecs, curves.anchor, network)
    if curves.points < 1:
        raise UsageError("points-range", f"--points {curves.points}: a curve has at least one", "--points 5")
    Scale.parse(selection.scale)
    options = CurveOptions(chosen, curves.anchor, curves.points, parse_range(curves.bpp), curves.threads)
    plan = parse_plan(clips, folder, options, (selection.frames, selection.scale))
    try:
        facts = _bench(plan, as_json)
    except Preempted:
        say("pre-empted: the points so far are kept; run the same command to go on")
        if as_json:
            emit("error", id="pre-empted", message=f"saved in '{folder}'", fix="run the same command again", exit_code=PREEMPTED)
        return PREEMPTED
    if as_json:
        emit("result", **facts)
    return 0


def _bench(plan: "Plan", as_json: bool) -> dict[str, object]:
    """Measure, compare, write and show; returns the facts of the result line."""
    from inr.runtime import prepare_jax
    from inr.writing import write_atomically
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
    picture = rd_picture(measured)
    write_atomically(plan.folder / "rd.png", picture)
    write_atomically(page, html_page(plan, measured, left_out, rates, picture).encode())
    print_table(rates, plan.anchor)
    say(f"{page}   {len(measured)} points; {plan.folder / 'results.csv'} has every figure, {plan.folder / 'streams'} the files")
    rows = [asdict(point) for point in measured]
    return {"output": str(page), "anchor": plan.anchor, "points": rows, "bd_rate": rates, "left_out": left_out}

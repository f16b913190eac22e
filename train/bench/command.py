"""`inr bench` as the command line knows it: every mistake is found before anything is spent."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec.shell import Frames, Json, Scale, emit, say, scaling
from inr.errors import TargetMissed, UsageError

if TYPE_CHECKING:
    from train.bench.plan import Plan

Clips = Annotated[list[Path], typer.Argument(metavar="CLIPS...", help="What encode takes: videos, folders or globs of images, images.")]
Codecs = Annotated[str, typer.Option("--codecs", metavar="A,B,...", help="Of inr, x264, x265, svtav1, vvenc.")]
Points = Annotated[int, typer.Option("--points", metavar="N", help="Points on each curve.")]
Anchor = Annotated[str, typer.Option("--anchor", metavar="CODEC", help="What BD-rates refer to; x265 if it takes part, else the first.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="results.csv, rd.png, report.html, streams.")]
Range = Annotated[str, typer.Option("--bpp", metavar="LOW:HIGH", help="Rates of inr's points, bits per pixel.")]
Budget = Annotated[str, typer.Option("--time-budget", metavar="2m", help="For each fit: 90s, 10m, 2h.")]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", help="Cores to use; all of them by default.")]


def bench_command(
    clips: Clips,
    codecs: Codecs = "inr,x264,x265,svtav1",
    points: Points = 5,
    anchor: Anchor = "",
    folder: Folder = Path("bench"),
    bpp: Range = "0.02:0.2",
    preset: Annotated[str, typer.Option("--preset", "-p", help="Of each fit: fast, medium or slow, or a number of steps.")] = "medium",
    time_budget: Budget = "",
    frames: Frames = "",
    scale: Scale = "",
    threads: Threads = None,
    as_json: Json = False,
) -> int:
    """Compare with other codecs: rate-distortion curves and BD-rates, as a table, a picture and a page.

    Finished points are kept: the same command goes on where it was stopped, and measures nothing twice.
    """
    from train.bench.asking import asked_codecs, asked_plan, asked_range
    from train.bench.plan import Network
    from train.interrupts import Preempted
    from train.options import PREEMPTED, known_preset, seconds

    network = Network(known_preset(preset), time_budget, seconds(time_budget))
    chosen = asked_codecs(codecs, anchor, network)
    if points < 1:
        raise UsageError("points-range", f"--points {points}: a curve has at least one", "--points 5")
    cut = frames, scaling(scale)
    plan = asked_plan(clips, chosen, anchor, folder, points, asked_range(bpp), cut, threads)
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
    from train.display import display

    prepare_jax()
    plan.folder.mkdir(parents=True, exist_ok=True)
    measured, left_out = measure(plan, Runner(lambda: display(as_json), say), say)
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

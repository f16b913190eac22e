"""The whole command line: the verbs of `codec`, and those that fit networks."""

from pathlib import Path
from typing import Annotated

import typer

from codec.bundle_cli import bundle_application
from codec.cli import application
from codec.shell import STARTED, Json, emit, leave, run
from train.cli.batch import batch_application
from train.cli.bench import bench_command
from train.cli.bundle import add_command, pretrain_command
from train.cli.encode import encode_command
from train.cli.retarget import retarget_command

application.add_typer(batch_application)
application.command("encode")(encode_command)
application.command("bench")(bench_command)
application.command("retarget")(retarget_command)  # in place of that of `codec`, which fits nothing
bundle_application.command("add")(add_command)
bundle_application.command("pretrain")(pretrain_command)


@application.command("presets")
def presets_command(
    source: Annotated[Path | None, typer.Argument(metavar="[IN]", help="Plan the networks for this video.")] = None,
    target_bpp: Annotated[
        float, typer.Option("--target-bpp", metavar="BPP", help="Plan the networks for this rate, in bits per pixel.")
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """List presets and models: weights, MAC per pixel, and the measured time and PSNR of presets."""
    from inr.reading import probe
    from inr.spec import VideoSpec
    from train.cli.preset_tables import NOMINAL, listed, print_tables
    from train.fit.target import checked_target

    bpp, video = checked_target(bpp=target_bpp).target_bpp or target_bpp, NOMINAL
    if source is not None:
        extent = probe(source)
        video = VideoSpec(extent.width, extent.height, extent.frames)
    tables = listed(video, bpp)
    if as_json:
        emit("result", **tables)
    else:
        print_tables(tables, video, bpp)


@application.command("doctor")
def doctor_command(as_json: Json = False) -> None:
    """Show the devices, memory, caches, encoders and versions of this machine, and any obstacle to a fit."""
    from inr.runtime import prepare_jax
    from train.cli.doctor import examined, lines

    prepare_jax()
    facts = examined(Path.cwd())
    if as_json:
        emit("result", **facts)
    else:
        print("\n".join(lines(facts)))


@application.command("demo")
def demo_command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder for the results.")] = Path("demo"),
    as_json: Json = False,
) -> int:
    """Encode, decode and measure the clip that comes with the package: clip.inr, clip.mp4 and a picture in DIR."""
    from train.cli.demo import run_demo

    facts = run_demo(folder, STARTED, as_json)
    if as_json:
        emit("result", **facts)
    return 0


def main() -> None:
    """Entry point of `inr`."""
    leave(run(application))

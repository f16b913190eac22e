"""The tables of `inr presets`: the networks of presets and models, and the measured time and PSNR of each preset."""

from inr.cost import macs_per_pixel
from inr.layout import weights
from inr.spec import VideoSpec
from train.plan.network_size import MEASURED_BPP
from train.plan.options import MODELS, PRESETS, FitOptions, Model, Preset
from train.plan.presets import plan

MEASURED = {"fast": (66.0, 27.83), "medium": (178.0, 28.22), "slow": (565.0, 28.26)}  # seconds and decibels: benchmarks/presets.csv
NOMINAL = VideoSpec(320, 160, 32)  # the clip on which presets were measured

PLAIN = ("cam", "tree")  # models to which CAM cannot be added: they have modulation anyway

Rows = list[dict[str, object]]


def listed(video: VideoSpec = NOMINAL, bpp: float = MEASURED_BPP) -> dict[str, Rows]:
    """The rows of presets and of models: networks planned for `video` at `bpp` bits per pixel; time and PSNR as measured on NOMINAL."""
    presets: Rows = []
    for name, steps in PRESETS.items():
        spec, _ = plan(video, bpp, FitOptions(preset=Preset.parse(name)))
        seconds, decibels = MEASURED[name]
        size = {"weights": weights(spec, video), "mac_per_pixel": round(macs_per_pixel(spec, video))}
        presets.append({"preset": name, "model": "cam", "steps": steps, **size, "measured_seconds": seconds, "measured_psnr_rgb": decibels})
    models: Rows = []
    for model in [Model(name, modulated) for name in MODELS[1:] for modulated in (False, True) if name not in PLAIN or not modulated]:
        spec, _ = plan(video, bpp, FitOptions(model=model))
        models.append({"model": str(model), "weights": weights(spec, video), "mac_per_pixel": round(macs_per_pixel(spec, video))})
    return {"presets": presets, "models": models}


def print_tables(tables: dict[str, Rows], video: VideoSpec, bpp: float) -> None:
    """Print the rows of `listed` as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in tables.items():
        table = Table(title=f"{title}, {video.width}x{video.height}, {video.frames} frames at {bpp} bits per pixel")
        for column in rows[0]:
            table.add_column(column.replace("_", " "), justify="left" if column in ("preset", "model") else "right")
        for row in rows:
            table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
        console.print(table)
    clip = f"bunny-small ({NOMINAL.width}x{NOMINAL.height}, {NOMINAL.frames} frames)"
    console.print(f"measured: two cores, {clip} at {MEASURED_BPP} bits per pixel")

"""What presets and models there are, and what they take and give: `inr presets`."""

from inr.cost import macs_per_pixel
from inr.layout import weights
from inr.spec import VideoSpec
from train.presets import MEASURED, MEASURED_BPP, MODELS, MODULATED, PRESETS, plan

NOMINAL = VideoSpec(320, 160, 32)  # the clip that presets were measured on

Rows = list[dict[str, object]]


def listed(video: VideoSpec = NOMINAL, bpp: float = MEASURED_BPP) -> dict[str, Rows]:
    """Presets and models for a result line: networks as planned for `video` at `bpp`, times and PSNR as measured on NOMINAL."""
    presets: Rows = []
    for name, steps in PRESETS.items():
        spec, _ = plan(video, bpp, name, "cam", 0)
        seconds, decibels = MEASURED[name]
        size = {"weights": weights(spec, video), "mac_per_pixel": round(macs_per_pixel(spec, video))}
        presets.append({"preset": name, "model": "cam", "steps": steps, **size, "measured_seconds": seconds, "measured_psnr_rgb": decibels})
    models: Rows = []
    for name in [model + suffix for model in MODELS for suffix in ("", MODULATED) if model != "cam" or not suffix]:
        spec, _ = plan(video, bpp, "fast", name, 0)
        models.append({"model": name, "weights": weights(spec, video), "mac_per_pixel": round(macs_per_pixel(spec, video))})
    return {"presets": presets, "models": models}


def print_tables(found: dict[str, Rows], video: VideoSpec, bpp: float) -> None:
    """The same for a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in found.items():
        table = Table(title=f"{title}, {video.width}x{video.height}, {video.frames} frames at {bpp} bits per pixel")
        for column in rows[0]:
            table.add_column(column.replace("_", " "), justify="left" if column in ("preset", "model") else "right")
        for row in rows:
            table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
        console.print(table)
    clip = f"bunny-small ({NOMINAL.width}x{NOMINAL.height}, {NOMINAL.frames} frames)"
    console.print(f"measured: two cores, {clip} at {MEASURED_BPP} bits per pixel")

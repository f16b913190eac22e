"""A plot of the rate-distortion curves."""

import io

from train.bench.points import Point

PANEL_INCHES = 5.5, 4.2  # width and height


def rd_picture(points: list[Point]) -> bytes:
    """A PNG with one panel for each clip: PSNR in decibels over bits per pixel on a logarithmic axis."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    clips, codecs = (list(dict.fromkeys(getattr(point, name) for point in points)) for name in ("clip", "codec"))
    columns = min(2, len(clips))
    rows = -(-len(clips) // columns)
    figure = Figure(figsize=(columns * PANEL_INCHES[0], rows * PANEL_INCHES[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, clip in zip(panels, clips, strict=False):
        for index, codec in enumerate(codecs):
            curve = sorted((point.bpp, point.psnr_rgb) for point in points if (point.clip, point.codec) == (clip, codec))
            panel.plot([bpp for bpp, _ in curve], [psnr for _, psnr in curve], "o-", markersize=4, color=f"C{index}", label=codec)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda bpp, _: f"{bpp:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set(title=clip, xlabel="bits per pixel, whole file", ylabel="PSNR, RGB [dB]")
        panel.grid(alpha=0.3)
        panel.legend()
    for panel in panels[len(clips) :]:
        panel.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

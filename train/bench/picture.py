"""A plot of the rate-distortion curves."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from train.bench.points import Point
from train.bench.references import ReferencePoint

PANEL_INCHES = 5.5, 4.2  # width and height

Curve = list[tuple[float, float]]  # (bpp, PSNR in decibels) by rising rate


@dataclass(frozen=True)
class Panel:
    """The curves of one clip, by codec; `references` are curves that were measured elsewhere."""

    title: str
    curves: dict[str, Curve]
    references: dict[str, Curve]


def panels_of(points: Sequence[Point], references: Sequence[ReferencePoint]) -> Iterator[Panel]:
    """A panel for each clip, and if there are several, one with means over the clips.

    The mean of a setting that not all clips have is left out. References without a clip are in the panel of means, or in that of a single
    clip.
    """
    clips, codecs = (list(dict.fromkeys(getattr(point, name) for point in points)) for name in ("clip", "codec"))

    def known(clip: str) -> dict[str, Curve]:
        found = [reference for reference in references if reference.clip == clip]
        names = dict.fromkeys(reference.codec for reference in found)
        return {name: sorted((point.bpp, point.psnr_rgb) for point in found if point.codec == name) for name in names}

    for clip in clips:
        own = [point for point in points if point.clip == clip]
        curves = {codec: sorted((point.bpp, point.psnr_rgb) for point in own if point.codec == codec) for codec in codecs}
        yield Panel(clip, curves, known(clip) | (known("") if len(clips) == 1 else {}))
    if len(clips) > 1:
        means = {codec: _mean_curve([point for point in points if point.codec == codec], len(clips)) for codec in codecs}
        yield Panel(f"mean of {len(clips)} clips", means, known(""))


def _mean_curve(points: Sequence[Point], clips: int) -> Curve:
    """The means of rate and PSNR at each setting that `clips` points have."""
    settings = dict.fromkeys(point.label for point in points)
    groups = [[point for point in points if point.label == setting] for setting in settings]
    full = [group for group in groups if len(group) == clips]
    return sorted((sum(point.bpp for point in group) / clips, sum(point.psnr_rgb for point in group) / clips) for group in full)


def rd_picture(points: list[Point], references: Sequence[ReferencePoint] = ()) -> bytes:
    """A PNG with a panel for each of `panels_of`: PSNR in decibels over bits per pixel on a logarithmic axis; references are dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    shown = list(panels_of(points, references))
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(columns * PANEL_INCHES[0], rows * PANEL_INCHES[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for plot, panel in zip(axes, shown, strict=False):
        named = [(codec, curve, "o-") for codec, curve in panel.curves.items()]
        named += [(f"{codec} (given)", curve, "--") for codec, curve in panel.references.items()]
        for index, (codec, curve, style) in enumerate(named):
            plot.plot([bpp for bpp, _ in curve], [psnr for _, psnr in curve], style, markersize=4, color=f"C{index}", label=codec)
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plot.xaxis.set_major_formatter(FuncFormatter(lambda bpp, _: f"{bpp:g}"))
        plot.xaxis.set_minor_formatter(NullFormatter())
        plot.set(title=panel.title, xlabel="bits per pixel, whole file", ylabel="PSNR, RGB [dB]")
        plot.grid(alpha=0.3)
        plot.legend()
    for plot in axes[len(shown) :]:
        plot.set_axis_off()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

"""A comparison for people: a table on the terminal, and one HTML page that needs no other file."""

import base64
from collections.abc import Iterable
from html import escape

from train.bench.plan import Plan
from train.bench.points import Point

Rates = dict[str, dict[str, float | None]]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, td.text { text-align: left } td.text { font: 12px/1.4 monospace } img { max-width: 100% }
"""
METHOD = """
All codecs encoded the same 8-bit RGB frames. Bytes are those of the file on disk. PSNR and MS-SSIM compare the decoded file with the
source in 8-bit RGB, by the same code for all codecs. FFmpeg's codecs read the frames in Y'CbCr (BT.601, limited range; 4:2:0, or 4:4:4 if
a side is odd). The frames were converted once, and the conversion is not timed; it alone limits the PSNR of these codecs. JPEG, WebP,
AVIF and JPEG XL read the RGB frame; the first three store 4:2:0. Their bytes are those of whole files with headers, those of x264, x265,
SVT-AV1 and VVenC are without a container. Seconds are wall-clock time. Those of FFmpeg include the start of its process, and for decoding
the conversion to RGB. Those of inr include compilation for encoding, but not for decoding.
"""


def percent(rate: float | None) -> str:
    """A BD-rate, in percent, as text; 'n/a' for None."""
    return "n/a" if rate is None else f"{rate:+.1f} %"


def print_table(rates: Rates, anchor: str) -> None:
    """Print the BD-rates as a table on standard error."""
    from rich.console import Console
    from rich.table import Table

    codecs = list(dict.fromkeys(codec for row in rates.values() for codec in row))
    table = Table(title=f"BD-rate against {anchor}, RGB PSNR")
    table.add_column("clip")
    for codec in codecs:
        table.add_column(codec, justify="right")
    for clip, row in rates.items():
        table.add_row(clip, *(percent(row.get(codec)) for codec in codecs))
    Console(stderr=True).print(table)


def html_page(plan: Plan, points: list[Point], left_out: list[str], rates: Rates, picture: bytes) -> str:
    """The whole comparison as one HTML page that contains the picture, a PNG."""
    title = f"Rate and distortion: {', '.join(codec.name for codec in plan.codecs)}"
    codecs = list(dict.fromkeys(codec for row in rates.values() for codec in row))
    bd_rows = [[clip, *(percent(row.get(codec)) for codec in codecs)] for clip, row in rates.items()]
    threads = f"{plan.threads} thread{'s' * (plan.threads > 1)}"
    versions = "; ".join(dict.fromkeys(f"{point.codec}: {point.version}" for point in points))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<img alt="PSNR over bits per pixel" src="data:image/png;base64,{base64.b64encode(picture).decode()}">',
        f"<h2>BD-rate against {escape(plan.anchor)}</h2>",
        "<p>Bits that a codec takes more (+) or less (-) than the anchor at equal RGB PSNR, interpolated by PCHIP; n/a if the curves share "
        "less than half of the smaller range of PSNR, or if one has fewer than two points.</p>",
        _table(["clip", *codecs], bd_rows),
        f"<h2>Points</h2><p>{escape(METHOD)} All codecs ran on {threads}. {escape(versions)}.</p>",
        _table(["clip", "codec", "setting", "bytes", "bpp", "PSNR", "MS-SSIM", "encode s", "decode s", "MAC/pixel"], map(_cells, points)),
        "".join(f"<p>Left out: {escape(line)}</p>" for line in left_out),
        "<h2>Commands</h2><p>Run them in this folder.</p>",
        _table(["clip", "codec", "setting", "command"], ([point.clip, point.codec, point.label, point.command] for point in points)),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _cells(point: Point) -> list[str]:
    return [
        point.clip, point.codec, point.label, str(point.bytes), f"{point.bpp:.4f}", f"{point.psnr_rgb:.2f}",
        _number(point.ms_ssim_rgb, ".4f"), _number(point.encode_seconds, ".2f"), f"{point.decode_seconds:.2f}",
        _number(point.macs_per_pixel, ".0f"),
    ]  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in header)
    kinds = [' class="text"' if name == "command" else "" for name in header]
    body = "".join(f"<tr>{''.join(f'<td{k}>{escape(c)}</td>' for k, c in zip(kinds, row, strict=True))}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"

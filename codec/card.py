"""Makes small pieces of HTML without external files, by which Jupyter shows a result."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from inr.pixels import Frame

POSTER = 320  # the largest width of a poster, in CSS pixels
SPARK_WIDTH, SPARK_HEIGHT = 240, 36  # CSS pixels


def data_address(image: bytes, kind: str) -> str:
    """An image file as a data URL. `kind` is the second part of its media type, such as png."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def picture(frame: Frame) -> str:
    """A frame as a PNG (lossless) in a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "png")
    return data_address(buffer.getvalue(), "png")


def sparkline(values: Sequence[float], unit: str) -> str:
    """A line chart of `values` (at least one) as inline SVG, followed by their range as the text "LOWEST to HIGHEST UNIT"."""
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    steps = max(len(values) - 1, 1)
    points = " ".join(
        f"{SPARK_WIDTH * index / steps:.1f},{SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (value - low) / spread:.1f}"
        for index, value in enumerate(values)
    )
    line = f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    svg = f'<svg role="img" aria-label="per frame" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}">{line}</svg>'
    return f"{svg} {low:.2f} to {high:.2f} {escape(unit)}"


def card(poster: str, lines: Sequence[str]) -> str:
    """HTML that shows the image with the URL `poster`, and to the right of it the `lines`, which are HTML too."""
    text = "<br>".join(lines)
    image = f'<img alt="a frame" src="{poster}" style="max-width:{POSTER}px;image-rendering:pixelated">'
    return f'<div style="display:flex;gap:1em;align-items:flex-start">{image}<div style="font-size:90%">{text}</div></div>'


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """HTML of a table whose columns are the keys of the first of `rows`; floats have three decimals."""

    def cell(value: object) -> str:
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        return f'<td style="text-align:{"right" if isinstance(value, int | float) else "left"}">{escape(text)}</td>'

    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0]) if rows else ""
    body = "".join(f"<tr>{''.join(cell(value) for value in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

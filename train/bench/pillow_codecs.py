"""The picture codecs that Pillow has: JPEG (libjpeg-turbo), WebP (libwebp), and AVIF (libavif with libaom). Only single frames."""

import io
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

from inr.pixels import Frames


@dataclass(frozen=True)
class PillowCodec:
    """An encoder of pictures. Its values of `quality` run from `best` to `worst`; `options` are those of `PIL.Image.Image.save`.

    `kind` is Pillow's name of the file format.
    """

    name: str
    kind: str
    best: int
    worst: int
    options: tuple[tuple[str, int], ...]

    def label(self, quality: float) -> str:
        """The name of the codec's point at `quality`, such as 'quality 50'."""
        return f"quality {quality:g}"

    def settings(self, quality: float) -> list[str]:
        """The arguments of `save` for the point at `quality`."""
        return [f"{name}={value}" for name, value in self._options(quality).items()]

    def encode(self, frames: Frames, quality: float) -> bytes:
        """The file of the only frame of `frames`."""
        stream = io.BytesIO()
        Image.fromarray(frames[0]).save(stream, self.kind, **self._options(quality))
        return stream.getvalue()

    def command(self, source: str, stream: str, quality: float) -> str:
        """The shell command that writes the file `stream` from the PNG `source`."""
        call = f"Image.open({source!r}).save({stream!r}, {self.kind!r}, {', '.join(self.settings(quality))})"
        return shlex.join(["python", "-c", f"from PIL import Image; {call}"])

    @property
    def version(self) -> str:
        """The versions of Pillow and of the library that codes this format."""
        library = {"JPEG": "libjpeg_turbo", "WEBP": "webp", "AVIF": "avif"}[self.kind]
        return f"Pillow {PIL.__version__}, {library} {features.version(library)}"

    def _options(self, quality: float) -> dict[str, int]:
        return {"quality": int(quality), **dict(self.options)}


def read_picture(stream: Path) -> Frames:
    """The picture in the file `stream` as one frame of 8-bit R'G'B'."""
    with Image.open(stream) as picture:
        return np.asarray(picture.convert("RGB"))[None]


# All three store 4:2:0, as Pillow does by default. Their slowest settings.
PILLOW_CODECS = (
    PillowCodec("jpeg", "JPEG", 90, 8, (("optimize", 1), ("progressive", 1))),
    PillowCodec("webp", "WEBP", 90, 1, (("method", 6),)),
    PillowCodec("avif", "AVIF", 85, 15, (("speed", 0),)),
)

"""The size that a source is resized to, written as a factor ('1/2') or as width x height in pixels ('320x160')."""

import re
from dataclasses import dataclass
from fractions import Fraction

from inr.errors import UsageError


@dataclass(frozen=True)
class Scale:
    """The size that a source is resized to: a factor of its width and height, or a fixed (width, height) in pixels."""

    to: Fraction | tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> "Scale | None":
        """The scale that `text` names, such as '1/2' or '320x160'; None if `text` is empty. UsageError for any other text."""
        if not text:
            return None
        if fraction := re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text):
            return cls(Fraction(int(fraction[1]), int(fraction[2])))
        if size := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.lower()):
            return cls((int(size[1]), int(size[2])))
        raise UsageError("bad-scale", f"--scale {text} is neither WxH nor a fraction (W and H in pixels)", "--scale 1/2")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) in pixels to which a picture of `width` x `height` pixels is resized; each is at least 1."""
        if isinstance(self.to, tuple):
            return self.to
        return max(1, round(width * self.to)), max(1, round(height * self.to))

    def __str__(self) -> str:
        return "{}x{}".format(*self.to) if isinstance(self.to, tuple) else f"{self.to.numerator}/{self.to.denominator}"

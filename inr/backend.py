"""The two renderers, one of which decodes a file: compiled functions of JAX (`inr.rendering`), or NumPy alone (`inr.reference`)."""

from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from inr.errors import ResourceError

if TYPE_CHECKING:
    from inr.pixels import Frames

FIX = "pip install inr-codec   with all that it depends on, or --backend numpy"


class Backend(StrEnum):
    """The renderer that is asked for. `AUTO` is JAX where it is installed, otherwise NumPy."""

    AUTO = "auto"
    JAX = "jax"
    NUMPY = "numpy"

    def chosen(self) -> "Backend":
        """`JAX` or `NUMPY`. ResourceError if JAX is asked for, but not installed."""
        installed = find_spec("jax") is not None
        if self is Backend.JAX and not installed:
            raise ResourceError("no-jax", "JAX is not installed", FIX)
        return Backend.NUMPY if self is Backend.NUMPY or not installed else Backend.JAX

    def prepare(self) -> None:
        """Prepare the process of a command for this renderer: see `inr.runtime.prepare_jax`. NumPy needs no preparation."""
        if self.chosen() is Backend.JAX:
            from inr.runtime import prepare_jax

            prepare_jax()

    def renderer(self) -> "Callable[..., Frames]":
        """The function `render` of the renderer's module."""
        if self.chosen() is Backend.NUMPY:
            from inr.reference import render
        else:
            from inr.rendering import render
        return render

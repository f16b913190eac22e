"""imageio's plugin for .inr files. After its import, `iio.imread("a.inr", index=3)`, `imiter`, `improps` and `immeta` read them.

The import registers the plugin and does nothing else.
"""

from collections.abc import Iterator
from types import EllipsisType

import numpy as np
from imageio.config import FileExtension, PluginConfig, extension_list, known_extensions, known_plugins
from imageio.core import Request
from imageio.core.request import InitializationError
from imageio.core.v3_plugin_api import ImageProperties, PluginV3

from codec.bitstream import MAGIC
from codec.clip import Clip

NAME, SUFFIX = "inr", ".inr"


class InrPlugin(PluginV3):
    """Reads the first video of a file. InitializationError for another kind of file, and for writing."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        if request.mode.io_mode.value != "r":
            raise InitializationError("an .inr file is written by fitting a network: use train.encode_file or inr encode")
        data = request.get_file().read()
        if not data.startswith(MAGIC):
            raise InitializationError("not an .inr file")
        self._clip = Clip(data, str(getattr(request, "filename", "") or ""))

    def read(self, *, index: int | EllipsisType | None = ...) -> np.ndarray:
        """Frame `index` (h w 3), or all frames (t h w 3), uint8 R'G'B'."""
        return self._clip[index] if isinstance(index, int) else self._clip[:]

    def iter(self) -> Iterator[np.ndarray]:
        """Frames in order."""
        return iter(self._clip)

    def properties(self, index: int | EllipsisType | None = ...) -> ImageProperties:
        """Shape and dtype of the array that `read` returns; nothing is rendered."""
        if isinstance(index, int):
            return ImageProperties(self._clip.shape[1:], np.dtype(np.uint8))
        return ImageProperties(self._clip.shape, np.dtype(np.uint8), n_images=len(self._clip), is_batch=True)

    def metadata(self, index: int | EllipsisType | None = ..., exclude_applied: bool = True) -> dict[str, object]:
        """Facts of the file; empty for a single frame."""
        facts = self._clip.info
        return {} if isinstance(index, int) else {key: facts[key] for key in ("fps", "bytes", "bpp", "network", "videos", "sections")}


def register() -> None:
    """Register the plugin with imageio. Further calls do nothing."""
    if NAME in known_plugins:
        return
    known_plugins[NAME] = PluginConfig(name=NAME, class_name="InrPlugin", module_name=__name__)
    extension = FileExtension(extension=SUFFIX, priority=[NAME], name="Videos as small neural networks")
    extension_list.append(extension)
    known_extensions.setdefault(SUFFIX, []).insert(0, extension)


register()

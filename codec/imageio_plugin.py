"""A plugin for imageio that reads .inr files: `iio.imread("a.inr", index=3)`, and also `imiter`, `improps` and `immeta`.

The import of this module registers the plugin; no other call is necessary.
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
    """Reads the first video of an .inr file. InitializationError for a file of another format, and for a request to write."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        if request.mode.io_mode.value != "r":
            raise InitializationError("an .inr file is written by fitting a network: use train.encode_file or inr encode")
        data = request.get_file().read()
        if not data.startswith(MAGIC):
            raise InitializationError("not an .inr file")
        self._clip = Clip(data, str(getattr(request, "filename", "") or ""))

    def read(self, *, index: int | EllipsisType | None = ...) -> np.ndarray:
        """The frame `index` (h w 3), or by default all frames (t h w 3), as uint8 R'G'B'."""
        return self._clip[index] if isinstance(index, int) else self._clip[:]

    def iter(self) -> Iterator[np.ndarray]:
        """Yield all frames (h w 3) in order, as uint8 R'G'B'."""
        return iter(self._clip)

    def properties(self, index: int | EllipsisType | None = ...) -> ImageProperties:
        """The shape and dtype of the array that `read` returns for `index`. No frame is rendered."""
        if isinstance(index, int):
            return ImageProperties(self._clip.shape[1:], np.dtype(np.uint8))
        return ImageProperties(self._clip.shape, np.dtype(np.uint8), n_images=len(self._clip), is_batch=True)

    def metadata(self, index: int | EllipsisType | None = ..., exclude_applied: bool = True) -> dict[str, object]:
        """Facts of the file, as `inr info --json` prints them; an empty dict if `index` is a single frame."""
        facts = self._clip.info
        return {} if isinstance(index, int) else {key: facts[key] for key in ("fps", "bytes", "bpp", "network", "videos", "sections")}


def register() -> None:
    """Register the plugin with imageio. A second call has no effect."""
    if NAME in known_plugins:
        return
    known_plugins[NAME] = PluginConfig(name=NAME, class_name="InrPlugin", module_name=__name__)
    extension = FileExtension(extension=SUFFIX, priority=[NAME], name="Videos as small neural networks")
    extension_list.append(extension)
    known_extensions.setdefault(SUFFIX, []).insert(0, extension)


register()

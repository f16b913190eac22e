"""imageio reads .inr files once this is imported: `iio.imread("a.inr", index=3)`, `imiter`, `improps`, `immeta`.

Importing registers the plugin, and does nothing else.
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
    """Reads the first video of a file; imageio writes none."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        if request.mode.io_mode.value != "r":
            raise InitializationError("an .inr file is made by fitting a network: train.encode_file or inr encode")
        data = request.get_file().read()
        if not data.startswith(MAGIC):
            raise InitializationError("not an .inr file")
        self._clip = Clip(data, str(getattr(request, "filename", "") or ""))

    def read(self, *, index: int | EllipsisType | None = ...) -> np.ndarray:
        """Frame `index` (h w 3), or all of them (t h w 3), uint8 R'G'B'."""
        return self._clip[index] if isinstance(index, int) else self._clip[:]

    def iter(self) -> Iterator[np.ndarray]:
        """Frames in order."""
        return iter(self._clip)

    def properties(self, index: int | EllipsisType | None = ...) -> ImageProperties:
        """Shape and type of what `read` gives; nothing is rendered."""
        if isinstance(index, int):
            return ImageProperties(self._clip.shape[1:], np.dtype(np.uint8))
        return ImageProperties(self._clip.shape, np.dtype(np.uint8), n_images=len(self._clip), is_batch=True)

    def metadata(self, index: int | EllipsisType | None = ..., exclude_applied: bool = True) -> dict[str, object]:
        """Of the file; frames have none of their own."""
        facts = self._clip.info
        return {} if isinstance(index, int) else {key: facts[key] for key in ("fps", "bytes", "bpp", "network", "videos", "sections")}


def register() -> None:
    """Tell imageio of .inr files; once is enough."""
    if NAME in known_plugins:
        return
    known_plugins[NAME] = PluginConfig(name=NAME, class_name="InrPlugin", module_name=__name__)
    extension = FileExtension(extension=SUFFIX, priority=[NAME], name="Videos as small neural networks")
    extension_list.append(extension)
    known_extensions.setdefault(SUFFIX, []).insert(0, extension)


register()

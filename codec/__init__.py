"""Networks as bytes: the quantised model, the bitstream, and measuring what it decodes to.

Names are loaded on first use: importing the package loads no JAX, no optimiser, no training code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec.bitstream import BitstreamError as BitstreamError
    from codec.clip import Clip as Clip
    from codec.clip import open_file as open_file
    from codec.decoder import decode as decode
    from codec.encoder import encode as encode
    from codec.evaluation import Report as Report
    from codec.evaluation import evaluate as evaluate
    from codec.model import QuantizedModel as QuantizedModel
    from codec.model import QuantizedTensor as QuantizedTensor
    from codec.model import VideoEntry as VideoEntry
    from codec.model import WeightLayer as WeightLayer

_HOME = {
    "BitstreamError": "bitstream",
    "Clip": "clip",
    "WeightLayer": "model",
    "QuantizedModel": "model",
    "QuantizedTensor": "model",
    "Report": "evaluation",
    "VideoEntry": "model",
    "decode": "decoder",
    "encode": "encoder",
    "evaluate": "evaluation",
    "open_file": "clip",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"codec.{_HOME[name]}"), name)
    raise AttributeError(f"module 'codec' has no attribute {name!r}")

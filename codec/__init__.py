"""From networks to bytes and back: the quantised model, the bitstream, and the measures of a decoded file.

Words: a file consists of *records*, each with a *payload*; the *end record* closes it. A weight is an integer *symbol* times a *step
size* 2 ** (exponent / 8). Symbols are range-coded under *frequency tables*; a *coding* is one way of turning a tensor's symbols into coded
values. A *weight layer* holds the tensors that several videos may *reference*; a *video entry* holds one video's, or one *segment's*,
private tensors. A *weight mask* says which *claimed* (non-zero) weights of earlier layers a video keeps. A *fingerprint* is the part of a
run's key by which an encoder recognises its own file. `bpp` is 8 times the bytes of the file, divided by its pixels.

Names are loaded on first use: importing the package loads no JAX, no optimiser and no training code.
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

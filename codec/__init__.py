"""This package converts networks to bytes and back: it has the quantised model, the bitstream, and measurements of decoded files.

Words: A file consists of *records*, each with a *payload*. The last record is the *end record*. A weight is an integer *symbol* times a
*step size*, which is 2 ** (exponent / 8); each tensor has one step size. The range coder codes symbols under *frequency tables*. A
*coding* is one way to convert the symbols of a tensor into the integers that the range coder codes.

A *bundle* is a file seen as a set of videos. A *weight layer* holds tensors that several videos can *reference*; the weights of a network
are the sum of the layers that its video references. A *video entry* holds the *private* tensors of one video, or of one *segment*: some
consecutive frames of a long video. A layer *claims* a weight if its symbol for this weight is not zero. A *weight mask* says which
claimed weights of the earlier layers a video keeps. A *fingerprint* is 4 bytes by which an encoder recognises a video that it coded
before from the same input with the same options. `bpp` is bits per pixel: 8 times the bytes of the whole file, divided by the number of
pixels of all its frames.

Each name is loaded on its first use. The import of the package alone loads no JAX, no optimiser and no training code.
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

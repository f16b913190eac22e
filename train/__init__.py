"""From videos to networks: planning, fitting with the rate in the loss, bundles, benchmarks and the command line.

Words of a fit: a *step* is one update by the optimiser. A weight is an integer *symbol* times the *step size* of its tensor. The loss is
MSE + *rate weight* * bpp. `estimated_bits` is the number of bits that the loss computes; the `bpp` of a result is measured on the bytes of
its file.

Words of a run: a *run* is an encode with certain pixels and options, which its *key* identifies. A *target* is the size, rate or quality
that a user asks for; a *cap* is the largest size in bytes that a target allows. A target is *resolved* for a video if its cap is in bytes.
A *segment* is a number of consecutive frames of a long video.

Words of a bundle: a *weight layer* belongs to the file. A further video *references* layers, its *base layers*. It keeps a part of their
*claimed* (non-zero) weights: a *weight mask* marks this part, *scores* select it, and its share is the *density*. The video also has
*private* tensors of its own.

A name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.batch.many import encode_many as encode_many
    from train.encode.files import encode_file as encode_file
    from train.fit.config import FitConfig as FitConfig
    from train.plan.options import EncodeOptions as EncodeOptions
    from train.plan.options import encode_options as encode_options

_HOME = {
    "EncodeOptions": "plan.options",
    "FitConfig": "fit.config",
    "encode_file": "encode.files",
    "encode_many": "batch.many",
    "encode_options": "plan.options",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"train.{_HOME[name]}"), name)
    raise AttributeError(f"module 'train' has no attribute {name!r}")

"""From videos to networks: planning, fitting with the rate in the loss, bundles, benchmarks and the command line.

Words: a *step* is the optimiser's; a quantiser has *step sizes*; a weight is its integer *symbol* times a step size. A *target* is a size,
rate or quality that a user asks for; a *cap* is its size in bytes. `bpp` is measured on bytes, `estimated_bits` is the loss's own rate. A
*weight layer* belongs to a file; a further video *references* layers, keeps part of them by a *weight mask* (made of *scores*, at a
*density*), and has *private* tensors. A *segment* is a run of frames of a long video.

Names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.encode.files import encode_file as encode_file
    from train.fit.config import FitConfig as FitConfig
    from train.fit.loop import fit as fit
    from train.plan.options import EncodeOptions as EncodeOptions
    from train.plan.options import encode_options as encode_options

_HOME = {
    "EncodeOptions": "plan.options",
    "FitConfig": "fit.config",
    "encode_file": "encode.files",
    "encode_options": "plan.options",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"train.{_HOME[name]}"), name)
    raise AttributeError(f"module 'train' has no attribute {name!r}")

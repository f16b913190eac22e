"""A video, the spec of its network, the network, and its rendering.

Words: a *frame* has an *index* (0, 1, ..) and a time *t* in [0, 1]. The *frame input* gives a frame's first features; *blocks* upsample
them by their *strides*; the *head* turns them into pixels. A *grid* is a table over time or space that is read by interpolation;
*scale* and *shift* are CAM's grids. The *canvas* is a still picture that frames read through a *flow* and mix in by a *blend*.

Names are loaded on first use, so that importing the package costs nothing and loads no JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inr.layout import TensorSpec as TensorSpec
    from inr.layout import tensor_specs as tensor_specs
    from inr.network import apply_network as apply_network
    from inr.network import initial_tensors as initial_tensors
    from inr.reading import read_video as read_video
    from inr.rendering import render as render
    from inr.spec import BlockSpec as BlockSpec
    from inr.spec import NetworkSpec as NetworkSpec
    from inr.spec import VideoSpec as VideoSpec
    from inr.video import Colour as Colour
    from inr.video import Video as Video
    from inr.writing import write_video as write_video

_HOME = {
    "BlockSpec": "spec",
    "Colour": "video",
    "NetworkSpec": "spec",
    "Video": "video",
    "VideoSpec": "spec",
    "apply_network": "network",
    "initial_tensors": "network",
    "read_video": "reading",
    "render": "rendering",
    "TensorSpec": "layout",
    "tensor_specs": "layout",
    "write_video": "writing",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"inr.{_HOME[name]}"), name)
    raise AttributeError(f"module 'inr' has no attribute {name!r}")

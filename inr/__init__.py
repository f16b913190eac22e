"""This package describes videos and networks by specs, builds a network from its spec, and renders the frames of a video.

Words: A *frame* is one picture of a video. It has an *index* (0, 1, ..) and a time *t* from 0 (first frame) to 1 (last frame). A *spec*
describes a network or a video, without its weights; the file stores it. *Features* are the values that one part of a network gives to
the next part: an array (frames, rows, columns, channels). A *cell* is one position (row, column) of a frame's first features; it covers
`upscale` x `upscale` pixels of the frame. The *frame input* is the part of a network that gives the first features. Each *block*
upsamples the features by its *stride*. The *head* turns the features of the last block into pixels.

A *grid* is a table over time or space that is read by linear interpolation. *CAM* (coordinate-aware modulation) multiplies features by
1 + *scale* and adds *shift*; both come from grids. The *canvas* is one still picture for all frames: each frame reads it at positions
that its *flow* displaces, multiplies the result by its *blend* (0 to 1), and adds it to its own pixels. A *MAC* is one multiplication
with one addition (multiply-accumulate).

Each name is loaded on its first use. The import of the package alone loads no JAX.
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

"""What a video is here: frames, the spec of a network, the network, and rendering it.

Names are loaded on first use, so that importing the package costs nothing and starts no JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inr.network import apply_network as apply_network
    from inr.network import initial_tensors as initial_tensors
    from inr.network import tensor_shapes as tensor_shapes
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
    "tensor_shapes": "network",
    "write_video": "writing",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"inr.{_HOME[name]}"), name)
    raise AttributeError(f"module 'inr' has no attribute {name!r}")

"""The initial values of a fit that depend on its video: a camera's flow, or a picture's mean colour."""

from jaxtyping import Float32
from numpy import ndarray

from inr.pixels import Frames
from inr.spec import NetworkSpec, Pyramid, VideoSpec
from train.fit.fitter import PixelWeights
from train.plan.motion import CameraPath, camera_path, initial_flow
from train.plan.picture import picture_values


def initial_values(
    spec: NetworkSpec, video: VideoSpec, frames: Frames, path: CameraPath | None = None, pixel_weights: PixelWeights | None = None
) -> dict[str, Float32[ndarray, "..."]]:
    """The tensors by name that replace random initial ones in a fit of `frames`. `path` is the camera's path, None if it is not known."""
    if isinstance(spec.frame_input, Pyramid):
        return picture_values(frames)
    if spec.canvas is None:
        return {}
    return initial_flow(spec, video, camera_path(frames, pixel_weights) if path is None else path)

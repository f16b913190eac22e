"""A fit that begins as `inr encode` begins it, for the scripts that change a part of it."""

from codec.encoder import encode
from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from train.fit.config import FitConfig
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.plan.encode_plan import zero_model
from train.plan.motion import CameraPath, initial_flow


def complete_problem(spec: NetworkSpec, video: VideoSpec, config: FitConfig) -> Problem:
    """The problem, with the bits that its file takes beside its tensors."""
    return Problem(spec, video, config, overhead_bits=8 * len(encode(zero_model(spec, video))))


def make_fitter(problem: Problem, video: Video, path: CameraPath | None, kind: type[Fitter] = Fitter) -> Fitter:
    """A fit of `video` whose flows begin with the camera's `path`, if it is known."""
    flow = {} if path is None else initial_flow(problem.spec, problem.video, path)
    return kind(problem, video, initial_values=flow)

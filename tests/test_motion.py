"""train/plan/motion.py: the camera's motion, the flows and margins that follow from it, and the gain of a fit that knows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.encoder import encode
from codec.model import QuantizedTensor, single_video
from inr.constants import FLOW_UNIT
from inr.layout import tensor_shapes
from inr.spec import NetworkSpec, VideoSpec
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.fit.checkpoint import Workdir
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.fit.target import RateTarget
from train.plan.encode_plan import EncodePlan, analyse_motion
from train.plan.motion import LITTLE, camera_path, initial_flow, margins, reject_outliers, shifts, thin
from train.plan.options import FitOptions, encode_options
from train.plan.presets import plan

FLOW = "canvas.flows.0"
PATH = np.array([[0, 0], [2, 1], [5, 3], [8, 5], [12, 7], [14, 9], [14, 9], [14, 9]])  # pixels down and to the right


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blobs of a few pixels, uint8 R'G'B'."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    for axis in (0, 1):
        for _ in range(2):
            noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return np.clip(128 + 100 * noise / noise.std() / 2, 0, 255).astype(np.uint8)


def panned(height: int = 64, width: int = 96) -> np.ndarray:
    """The frames of a camera under which a texture moves along PATH."""
    world = texture(height + 20, width + 20)
    return np.stack([world[16 - down : 16 - down + height, 12 - right : 12 - right + width] for down, right in PATH])


def described(frames: np.ndarray) -> VideoSpec:
    """The spec of a video of these frames."""
    return VideoSpec.of(Video(frames))


def network_of(frames: np.ndarray) -> NetworkSpec:
    """The default network for these frames at half a bit per pixel."""
    return plan(described(frames), 0.5, FitOptions())[0]


def flow_of(frames: np.ndarray) -> dict[str, np.ndarray]:
    """The initial flow of these frames, by tensor."""
    return initial_flow(network_of(frames), described(frames), camera_path(frames))


def test_shifts_add_up_along_a_pan():
    np.testing.assert_allclose(shifts([thin(frame, 1) for frame in panned()]), PATH, atol=0.3)


def test_initial_flows_point_to_the_same_content_on_the_canvas():
    frames = panned()
    flow = FLOW_UNIT * flow_of(frames)[FLOW]
    assert flow.shape == (8, *network_of(frames).canvas.flow_grids[0], 2)
    against = PATH[np.argmin(np.abs(flow).sum(axis=(1, 2, 3)))] - PATH
    np.testing.assert_allclose(flow, np.broadcast_to(against[:, None, None, ::-1], flow.shape), atol=0.5)


def test_margins_hold_all_that_the_camera_sees():
    """They reach as far as the other frames lie beyond the one that does not move, but not by more than half a frame."""
    path = camera_path(panned())
    still = PATH[np.argmin(np.abs(path).sum(axis=(1, 2)))]
    above, left, below, right = margins(path, 64, 96)
    np.testing.assert_allclose([above, left], (PATH.max(axis=0) - still), atol=1.5)
    np.testing.assert_allclose([below, right], (still - PATH.min(axis=0)), atol=1.5)
    far = np.zeros((2, 3, 2))
    far[1, 2] = 100, -100
    assert margins(far, 64, 96) == (32, 0, 0, 48)
    assert margins(np.zeros((3, 3, 2)), 64, 96) == (0, 0, 0, 0)


def test_only_files_that_can_pay_for_margins_have_them():
    video = Video(panned())
    rich, poor = (FitOptions(target=RateTarget(target_bytes=size)) for size in (3000, 900))
    path, spec = analyse_motion(video, rich)
    assert np.array_equal(path, camera_path(video.frames))
    assert spec.margins == margins(path, 64, 96) != (0, 0, 0, 0)
    assert analyse_motion(video, poor)[1] == VideoSpec.of(video)
    assert analyse_motion(video, encode_options(model="nerv", target_size=3000).fit) == (None, VideoSpec.of(video))


def test_a_zoom_gives_a_flow_that_grows_from_the_centre():
    height, width = 96, 128
    world = texture(height, width, seed=1).astype(np.float32)
    y, x = np.indices((height, width))

    def zoomed(by: float) -> np.ndarray:
        rows, columns = (np.clip(((p + 0.5) / n - 0.5) * by * n + n / 2 - 0.5, 0, n - 1) for p, n in ((y, height), (x, width)))
        return world[rows.round().astype(int), columns.round().astype(int)].astype(np.uint8)

    frames = np.stack([zoomed(by) for by in (1.0, 1.0, 1.0, 0.94)])
    flow = FLOW_UNIT * flow_of(frames)[FLOW][3]
    rows, columns = network_of(frames).canvas.flow_grids[0]
    across = (np.arange(columns) + 0.5) / columns - 0.5
    np.testing.assert_allclose(flow[..., 0], np.broadcast_to(-0.06 * width * across, (rows, columns)), atol=1.0)


@pytest.mark.parametrize("kind", ["cuts", "still", "image"])
def test_frames_that_do_not_move_as_a_whole_have_no_initial_flow(kind: str):
    world = texture(64, 96)
    made = {"cuts": [texture(64, 96, seed) for seed in range(4)], "still": [world] * 4, "image": [world]}
    assert flow_of(np.stack(made[kind])) == {}


def test_a_frame_that_jumps_there_and_back_has_no_motion():
    moved = [np.array([[0, 0], [0, 0], [down, 0.0]]) for down in (0, 1, 20, 2, 3, 30, 31)]
    assert [motion[2, 0] for motion in reject_outliers(moved, 6.0)] == [0, 1, 0, 2, 3, 30, 31]


@pytest.mark.parametrize("size", [(8, 200), (8, 8), (200, 16), (3, 40), (1, 1)])
def test_unlike_frames_of_any_shape_have_no_motion(size: tuple[int, int]):
    frames = np.stack([texture(*size, seed) for seed in range(2)])
    path = camera_path(frames)
    assert path.shape == (2, 3, 2)
    assert np.abs(path).max() < LITTLE  # and finite
    assert initial_flow(network_of(frames), described(frames), path) == {}


def test_only_a_further_segment_starts_without_the_flow_of_the_camera(tmp_path: Path):
    """A further video on another one's layers starts with it; a further segment starts on the canvas of the segment before."""
    frames = panned()
    video, options = Video(frames), encode_options()
    spec, config = plan(described(frames), 0.5, options.fit)
    ones = {name: QuantizedTensor(np.ones(shape, np.int32), 0) for name, shape in tensor_shapes(spec, described(frames)).items()}
    base = BaseLayers.of(encode(single_video(spec, described(frames), ones)))
    problem = Problem(spec, described(frames), config)

    def initial(base: BaseLayers | None) -> np.ndarray:
        plan = EncodePlan(problem, options.fit, "key", Workdir(tmp_path / "work", "key"), options.fit.target, base)
        return problem.layout.unpack(np.asarray(plan.fitter(video).state.parameters.weights))[FLOW]

    assert base.initial_values
    for unrelated in (None, base):
        np.testing.assert_array_equal(initial(unrelated), flow_of(frames)[FLOW])
    assert not initial(replace(base, continues=True)).any()


def test_a_fit_of_a_pan_is_better_if_it_starts_with_the_flow_of_the_camera():
    frames = panned()
    spec, config = plan(described(frames), 0.5, FitOptions())
    problem = Problem(spec, described(frames), replace(config, steps=40, rate_weight=1e-5))

    def error(fitter: Fitter) -> float:
        fitter.run_steps(40, 0.0, 1 / 40)
        return float(np.mean(np.square(fitter.model().render_entry(-1) - frames.astype(np.float32))))

    assert error(Fitter(problem, Video(frames), initial_values=flow_of(frames))) < 0.6 * error(Fitter(problem, Video(frames)))

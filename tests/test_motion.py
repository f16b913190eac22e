"""train/motion.py: what the camera does, and what a fit gains by knowing it."""

from dataclasses import replace

import numpy as np
import pytest

from codec.encoder import encode
from codec.model import QuantizedTensor, single_video
from inr.canvas import FLOW_UNIT
from inr.layout import tensor_shapes
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.base_layers import BaseLayers
from train.encode.run import EncodeOptions, analyse_motion
from train.fit.loop import Fitter, fit
from train.plan.motion import beginning, camera_path, margins, shifts, thin, reject_outliers
from train.plan.presets import plan
from train.fit.state import initial_state
from train.fit.step import Problem
from train.fit.target import RateTarget

PATH = np.array([[0, 0], [2, 1], [5, 3], [8, 5], [12, 7], [14, 9], [14, 9], [14, 9]])  # pixels down and to the right


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blobs of a few pixels, uint8 R'G'B'."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    for axis in (0, 1):
        for _ in range(2):
            noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return np.clip(128 + 100 * noise / noise.std() / 2, 0, 255).astype(np.uint8)


def panned(height: int = 64, width: int = 96) -> np.ndarray:
    """What a camera sees of a texture whose content moves along PATH."""
    world = texture(height + 20, width + 20)
    return np.stack([world[16 - down : 16 - down + height, 12 - right : 12 - right + width] for down, right in PATH])


def spec_of(frames: np.ndarray, bpp: float = 0.5):
    _, height, width, _ = frames.shape
    return plan(VideoSpec(width, height, len(frames)), bpp, "medium", "cam", 0)


def test_shifts_add_up_along_a_pan():
    np.testing.assert_allclose(shifts([thin(frame, 1) for frame in panned()]), PATH, atol=0.3)


def test_flows_begin_where_the_canvas_shows_the_same():
    frames = panned()
    spec, _ = spec_of(frames)
    flow = FLOW_UNIT * beginning(spec, camera_path(frames))["canvas.flows.0"]
    assert flow.shape == (8, *spec.canvas.flow_grids[0], 2)
    against = PATH[np.argmin(np.abs(flow).sum(axis=(1, 2, 3)))] - PATH
    np.testing.assert_allclose(flow, np.broadcast_to(against[:, None, None, ::-1], flow.shape), atol=0.5)


def test_a_canvas_holds_what_the_camera_sees():
    """A pan's canvas reaches as far as other frames than the one that does not move lie beyond that, but not by more than half a frame."""
    path = camera_path(panned())
    still = PATH[np.argmin(np.abs(path).sum(axis=(1, 2)))]
    above, left, below, right = margins(path, 64, 96)
    np.testing.assert_allclose([above, left], (PATH.max(axis=0) - still), atol=1.5)
    np.testing.assert_allclose([below, right], (still - PATH.min(axis=0)), atol=1.5)
    far = np.zeros((2, 3, 2))
    far[1, 2] = 100, -100
    assert margins(far, 64, 96) == (32, 0, 0, 48)
    assert margins(np.zeros((3, 3, 2)), 64, 96) == (0, 0, 0, 0)


def test_margins_are_for_files_that_can_pay_for_them():
    video = Video(panned())
    rich, poor, other = (
        EncodeOptions(target=RateTarget(target_bytes=size), model=model) for size, model in ((3000, "cam"), (900, "cam"), (3000, "nerv"))
    )
    assert analyse_motion(video, rich)[1].margins == margins(camera_path(video.frames), 64, 96)
    assert analyse_motion(video, poor)[1] == VideoSpec.of(video)
    assert analyse_motion(video, other) == (None, VideoSpec.of(video))


def test_a_zoom_is_seen():
    height, width = 96, 128
    world = texture(height, width, seed=1).astype(np.float32)
    y, x = np.indices((height, width))

    def zoomed(by: float) -> np.ndarray:
        rows, columns = (np.clip(((p + 0.5) / n - 0.5) * by * n + n / 2 - 0.5, 0, n - 1) for p, n in ((y, height), (x, width)))
        return world[rows.round().astype(int), columns.round().astype(int)].astype(np.uint8)

    frames = np.stack([zoomed(by) for by in (1.0, 1.0, 1.0, 0.94)])
    spec, _ = spec_of(frames)
    flow = FLOW_UNIT * beginning(spec, camera_path(frames))["canvas.flows.0"][3]
    rows, columns = spec.canvas.flow_grids[0]
    across = (np.arange(columns) + 0.5) / columns - 0.5
    np.testing.assert_allclose(flow[..., 0], np.broadcast_to(-0.06 * width * across, (rows, columns)), atol=1.0)


@pytest.mark.parametrize("kind", ["cuts", "still", "image"])
def test_what_does_not_move_as_a_whole_begins_without_flow(kind: str):
    world = texture(64, 96)
    made = {"cuts": [texture(64, 96, seed) for seed in range(4)], "still": [world] * 4, "image": [world]}
    frames = np.stack(made[kind])
    assert beginning(spec_of(frames)[0], camera_path(frames)) == {}


def test_a_frame_that_jumps_there_and_back_is_not_believed():
    moved = [np.array([[0, 0], [0, 0], [down, 0.0]]) for down in (0, 1, 20, 2, 3, 30, 31)]
    assert [motion[2, 0] for motion in reject_outliers(moved, 6.0)] == [0, 1, 0, 2, 3, 30, 31]


@pytest.mark.parametrize("size", [(8, 1000), (8, 8), (500, 16)])
def test_strips_and_specks_are_no_trouble(size: tuple[int, int]):
    frames = np.stack([texture(*size, seed) for seed in range(2)])
    assert beginning(spec_of(frames)[0], camera_path(frames)).keys() <= {"canvas.flows.0"}


def test_on_the_layers_of_another_video_flows_begin_at_the_camera_too():
    """But not in a further group of frames: that one begins on the canvas of the group before."""
    frames = panned()
    spec, config = spec_of(frames)
    video = VideoSpec.of(Video(frames))
    ones = {name: QuantizedTensor(np.ones(shape, np.int32), 0) for name, shape in tensor_shapes(spec, video).items()}
    base = BaseLayers.of(encode(single_video(spec, video, ones)))

    def flows(base: BaseLayers) -> np.ndarray:
        fitter = Fitter(Problem(spec, video, config), Video(frames), base)
        return fitter.problem.layout.unpack(np.asarray(fitter.state.parameters.weights))["canvas.flows.0"]

    assert base.begins
    np.testing.assert_array_equal(flows(base), beginning(spec, camera_path(frames))["canvas.flows.0"])
    assert not flows(replace(base, continues=True)).any()


def test_a_fit_of_a_pan_is_better_for_it():
    frames = panned()
    video = Video(frames)
    spec, config = spec_of(frames)
    problem = Problem(spec, VideoSpec.of(video), replace(config, steps=160, rate_weight=1e-5))
    fitter, blank = Fitter(problem, video), Fitter(problem, video)
    blank.state = initial_state(spec, problem.video, problem.config)

    def error(fitter: Fitter) -> float:
        return float(np.mean(np.square(fit(fitter).model.render_entry(-1) - frames.astype(np.float32))))

    assert error(fitter) < 0.7 * error(blank)

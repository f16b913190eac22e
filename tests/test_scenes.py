"""train/plan/segmentation.py: a video is cut into its scenes, each of which gets a canvas of its own."""

from pathlib import Path

import numpy as np
import pytest
from conftest import moving_square
from test_motion import panned

from codec.decoder import decode
from codec.evaluation import mean_psnr
from inr.pixels import Frames
from inr.reading import Source
from inr.video import Video
from inr.writing import write_video
from train.encode.files import encode_file
from train.fit.progress import Reporter
from train.plan.encode_plan import analyse_motion
from train.plan.options import encode_options
from train.plan.segmentation import FEWEST, scenes, scenes_of

SQUARE, OTHER = moving_square(8).frames, np.rot90(moving_square(8, 48, 32).frames, 2, axes=(1, 2)).swapaxes(1, 2)[:, :, :, ::-1]


def written(path: Path, *parts: Frames) -> Path:
    write_video(Video(np.ascontiguousarray(np.concatenate(parts))), str(path))
    return path


@pytest.fixture(scope="module")
def two_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("scenes") / "two.mkv", SQUARE, OTHER)


def test_a_scene_begins_at_a_cut(two_scenes: Path, tmp_path: Path):
    assert scenes(Source(two_scenes)) == [0, 8]
    assert scenes(Source(written(tmp_path / "three.mkv", SQUARE, OTHER, SQUARE))) == [0, 8, 16]
    assert scenes(Source(written(tmp_path / "one.mkv", SQUARE))) == [0]


def test_flashes_fades_and_noise_end_no_scene(tmp_path: Path):
    white = np.full_like(SQUARE[:1], 255)
    flash = written(tmp_path / "flash.mkv", SQUARE[:5], white, SQUARE[5:])
    mixed = [np.uint8((1 - share) * SQUARE[at] + share * OTHER[at]) for at, share in enumerate(np.linspace(0, 1, 8))]
    fade = written(tmp_path / "fade.mkv", SQUARE, np.stack(mixed), OTHER)
    noise = written(tmp_path / "noise.mkv", np.random.default_rng(0).integers(0, 256, (16, 32, 48, 3), dtype=np.uint8))
    short = written(tmp_path / "short.mkv", SQUARE, OTHER[: FEWEST - 1])
    for path in (flash, fade, noise, short):
        assert scenes(Source(path)) == [0], path


def test_some_videos_are_fitted_as_a_whole(two_scenes: Path):
    assert scenes_of(two_scenes, encode_options(target_bpp=4.0)) == [0, 8]
    assert scenes_of(two_scenes, encode_options(frames=(4, 16))) == [0, 4]
    for options in ({"target_size": 900}, {"model": "hnerv"}, {"frames": (0, 8)}, {"frames": (6, 12)}):
        assert scenes_of(two_scenes, encode_options(**options)) == [0], options


def test_a_video_of_two_scenes_is_fitted_in_two_segments(tmp_path: Path):
    said, target, pan = list[str](), tmp_path / "a.inr", panned(32, 48) // 2 + 100
    two_scenes = written(tmp_path / "two.mkv", SQUARE, pan)
    options = encode_options(model="cam", target_size=4000, preset="160")
    encoded = encode_file(two_scenes, target, options, Reporter(say=said.append))
    assert encoded is not None
    assert any("2 scenes" in line for line in said)
    model = decode(target.read_bytes())
    assert [video.spec.frames for video in model.videos] == [8, 8]
    assert len(model.clips) == 1
    assert encoded.report.bytes == target.stat().st_size <= 4000
    assert encoded.steps == 160  # each scene has its share
    path, described = analyse_motion(Video(pan), options.fit)
    assert path is not None
    assert [video.spec.margins for video in model.videos] == [(0, 0, 0, 0), described.margins]
    assert max(described.margins) > 8  # the canvas of the second scene holds all that its camera sees
    frames = np.concatenate([SQUARE, pan])
    assert mean_psnr(model.render(), frames) == pytest.approx(encoded.report.psnr_rgb, abs=1e-6)
    assert encode_file(two_scenes, target, options) is None  # up to date


def test_each_scene_gets_a_tree_of_its_own(two_scenes: Path, tmp_path: Path):
    said, target = list[str](), tmp_path / "a.inr"
    options = encode_options(model="tree", target_size=3000, preset="48")
    encoded = encode_file(two_scenes, target, options, Reporter(say=said.append))
    assert encoded is not None
    assert any("2 scenes: each gets a tree" in line for line in said)
    model = decode(target.read_bytes())
    assert [video.spec.frames for video in model.videos] == [8, 8]
    assert len(model.clips) == 1
    assert encoded.report.bytes == target.stat().st_size <= 3000
    frames = Source(two_scenes)[:].frames
    assert mean_psnr(model.render(), frames) == pytest.approx(encoded.report.psnr_rgb, abs=1e-6)
    assert np.array_equal(model.render([7, 8]), model.render()[7:9])  # on both sides of the cut
    assert encode_file(two_scenes, target, options) is None  # up to date

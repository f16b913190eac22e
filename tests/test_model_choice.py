"""train/plan/model_choice.py: a canvas or a tree, by the motion of a video, its target and the time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from short_fits import texture, written

from inr.spec import VideoSpec
from inr.video import Video
from train.plan.model_choice import Content, chosen_model, content_of, suits_rate
from train.plan.options import encode_options

FRAMES = 9


def test_a_tree_is_chosen_where_things_move_and_a_canvas_where_the_camera_moves(tmp_path: Path):
    wide = texture(64, 140, 2)
    panned = np.stack([wide[:, 3 * index : 3 * index + 96] for index in range(FRAMES)]).astype(np.uint8)
    bands = [(texture(16, 140, seed).astype(np.uint8), speed) for seed, speed in ((3, 3), (4, -3), (5, 5), (6, -5))]  # each moves by itself
    moving = np.stack([np.concatenate([np.roll(band, speed * at, 1)[:, :96] for band, speed in bands]) for at in range(FRAMES)])
    assert content_of(Video(panned)).gain < 0.05 < 0.3 < content_of(Video(moving)).gain
    for name, frames, model in (("panned", panned, "cam"), ("moving", moving, "tree")):
        source = written(frames, tmp_path / f"{name}.mkv")
        assert chosen_model(source, encode_options()).fit.model.name == model
        assert chosen_model(source, encode_options(model="hnerv")).fit.model.name == "hnerv"
        assert chosen_model(source, encode_options(frames=(0, 1))).fit.model.name == "cam"


@pytest.mark.parametrize(
    ("is_tree", "keywords"),
    [
        (True, {"target_bpp": 0.1}),
        (False, {"target_bpp": 0.05}),
        (True, {"quality": 50}),
        (False, {"quality": 30}),
        (True, {"target_psnr": 33.0}),
        (False, {"target_psnr": 30.0}),
        (False, {"target_bpp": 0.05, "time_budget": 120.0}),
        (True, {"target_bpp": 0.05, "time_budget": 15.0}),  # no time for 300 steps of a canvas
        (True, {"target_bpp": 0.05, "preset": "60"}),
        (False, {"target_bpp": 0.05, "preset": "600"}),
    ],
)
def test_a_tree_is_chosen_at_high_rates_and_in_little_time(is_tree: bool, keywords: dict[str, Any]):
    content = Content(texture=2.7, gain=0.0)
    assert suits_rate(content, VideoSpec(320, 160, 32), encode_options(**keywords).fit) is is_tree
    assert not suits_rate(content, VideoSpec(64, 32, 32), encode_options(target_bpp=0.1).fit)  # a small file

"""train/tree's plans: block matching ahead of a fit, the updates that a time budget allows, the rate weight that a target needs."""

import math
import os
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from inr.cores import usable_cores
from inr.frame_tree import frame_tree
from inr.video import Video
from train.tree import rate, source_motion
from train.tree.pace import COMPILING, MOST_SHARE, Pace
from train.tree.source_motion import SourceMotion
from train.tree.state import FrameMeasures

FRAMES = 5


def moving() -> Video:
    """A texture that moves by 3 pixels to the right in each frame."""
    noise = gaussian_filter(np.random.default_rng(1).standard_normal((40, 96)), 1.5)
    wide = np.uint8(np.clip(128 + 60 * noise / noise.std(), 0, 255))
    return Video(np.stack([np.repeat(wide[:, 20 - 3 * k : 84 - 3 * k, None], 3, 2) for k in range(FRAMES)]))


def test_motion_of_source_pictures_is_the_same_whether_it_is_found_ahead_or_not():
    video, order = moving(), frame_tree(FRAMES, 4)[1:]
    ahead, later = SourceMotion(video), SourceMotion(video)
    with ahead.ahead(order, lambda frame: False):
        found = [ahead.fields(frame) for frame in order]
    for frame, fields in zip(order, found, strict=True):
        assert len(fields) == len(frame.references)
        for field, other, reference in zip(fields, later.fields(frame), frame.references, strict=True):
            np.testing.assert_array_equal(field, other)
            # A place now was 3 pixels further to the left in the frame before.
            assert (field[:, 1:-1, 2:-2] == np.array([0, -3 * (frame.index - reference)])[:, None, None]).all()


def test_frames_whose_motion_is_known_are_not_searched_ahead(monkeypatch):
    searched, zero = list[int](), np.zeros((2, 5, 8))

    def field(frame, reference, weight, distance):
        searched.append(distance)
        return zero

    monkeypatch.setattr(source_motion, "field_of", field)
    motion, order = SourceMotion(moving()), frame_tree(FRAMES, 4)[1:]
    with motion.ahead(order, lambda frame: frame.level > 0):
        assert motion.fields(order[0]) == [zero]
    assert searched == [4]


def test_the_rest_of_the_search_is_cancelled_when_a_fit_ends():
    motion, order = SourceMotion(moving()), frame_tree(FRAMES, 4)[1:]
    started = list[int]()

    def is_known(frame) -> bool:
        started.append(frame.index)
        time.sleep(0.05)
        return True

    with motion.ahead(order * 50, is_known):
        pass
    assert len(started) < 50 * len(order)


@pytest.mark.parametrize(("seconds", "share"), [(1000.0, MOST_SHARE), (27.5, 1.2), (24.0, 1.0), (23.0, 1.0), (13.5, 0.5)])
def test_planned_updates_change_only_if_the_time_is_much_more_or_less_than_they_need(seconds, share, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    pace = Pace(10)
    for _ in range(COMPILING + 1):
        pace.note(seconds=0.5, updates=4, of_updates=0.4)  # 0.1 s an update, and 0.1 s besides
    pace.until = 100 + seconds
    # Ten frames of 20 updates take 20 s, 1 s besides, and 2.5 s after the pass.
    assert pace.share(200, 10, 1.0) == pytest.approx(share)


def test_without_a_budget_the_time_is_not_limited():
    pace = Pace(10)
    for _ in range(2 * COMPILING):
        pace.note(1.0, 4, 0.5)
    assert not pace.limited
    assert pace.until == math.inf


def test_the_rate_weight_follows_what_is_left_to_spend():
    before = FrameMeasures(np.full(10, 100.0), np.full(10, 1e-3), np.zeros(10))
    done = np.arange(10) < 5
    now = FrameMeasures(np.where(done, 100 * rate.FINAL_BITS, np.nan), np.full(10, 1e-3), np.zeros(10))
    assert rate.log_rate_weight_for_bits(before, now, done, 1000 * rate.FINAL_BITS) == pytest.approx(0, abs=1e-6)
    assert rate.log_rate_weight_for_bits(before, now, done, 900.0) > 0 > rate.log_rate_weight_for_bits(before, now, done, 1100.0)
    assert rate.log_rate_weight_for_psnr(before, now, done, 31.0) < 0 < rate.log_rate_weight_for_psnr(before, now, done, 28.0)
    assert rate.limited(1.0, 0.2, 0.0) == pytest.approx(0.2 + rate.MOST_CHANGE)


def test_a_worker_of_a_batch_uses_no_more_cores_than_its_share(monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", "3")
    assert usable_cores() == 3
    monkeypatch.delenv("PJRT_NPROC")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert usable_cores() == 8

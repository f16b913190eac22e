"""train/fit/picture_choice.py: the file with the highest PSNR under a cap, and the flat picture."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import moving_square

from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.config import FitConfig
from train.fit.fitter import Fitter
from train.fit.picture_choice import best_picture, flat_picture
from train.fit.problem import Problem
from train.fit.target import RateTarget
from train.plan.picture import picture_config, picture_spec, picture_values

STEPS, BPP = 160, 2.0


@pytest.fixture(scope="module")
def video() -> Video:
    return moving_square(1, 40, 56)


@pytest.fixture(scope="module")
def fitter(video: Video) -> Fitter:
    """A short fit of a picture, at its end."""
    described = VideoSpec.of(video)
    config = replace(picture_config(FitConfig(STEPS), BPP), rate_weight=1e-4)
    fitter = Fitter(Problem(picture_spec(described, BPP), described, config, 800), video, initial_values=picture_values(video.frames))
    while fitter.done < STEPS:
        fitter.run_chunk()
    return fitter


def measured(model: QuantizedModel) -> Candidate:
    data = encode(model)
    return Candidate(data, len(data), model, 8.0 * len(data), None, hit=False)


def chosen(fitter: Fitter, video: Video, target: RateTarget, best: Candidate, *tried: Candidate) -> Candidate:
    return best_picture(fitter, RateControlSetup(video, target, b"", math.inf), measured, best, [best, *tried])


def test_a_flat_picture_has_the_mean_colour(fitter: Fitter, video: Video):
    flat = flat_picture(fitter, RateControlSetup(video, RateTarget(), b""), measured)
    assert flat is not None
    assert flat.size < 100
    shown = decode(flat.data).render()
    assert np.abs(shown - video.frames.mean(axis=(0, 1, 2))).max() < 0.8  # rounding to the step size, then to a level
    assert np.ptp(shown, axis=(0, 1, 2)).max() == 0


def test_a_picture_of_one_colour_is_flat(fitter: Fitter, video: Video):
    plain = replace(video, frames=np.full_like(video.frames, 87))
    fitted = measured(fitter.model())
    for target in (RateTarget(), RateTarget(target_bytes=fitted.size), RateTarget(target_psnr=30.0)):
        found = chosen(fitter, plain, target, fitted)
        assert found.size < 100
        assert np.array_equal(decode(found.data).render(), plain.frames)


def test_a_picture_that_is_not_flat_stays_as_it_is_without_a_cap(fitter: Fitter, video: Video):
    fitted = measured(fitter.model())
    psnr = mean_psnr(fitted.model.render(), video.frames)
    assert chosen(fitter, video, RateTarget(), fitted) is fitted
    known = replace(fitted, psnr=psnr)
    assert chosen(fitter, video, RateTarget(target_psnr=psnr - 0.1), known) is known


def test_a_harmed_file_under_the_cap_loses_to_a_better_one_that_is_shortened(fitter: Fitter, video: Video):
    good = measured(fitter.model())
    tensors = fitter.own(good.model)
    zeros = {name: replace(tensors[name], symbols=0 * tensors[name].symbols) for name in ("phases", "grids.0", "grids.1")}
    bad = measured(fitter.joined(tensors | zeros))
    cap = good.size - 30
    assert bad.size <= cap
    found = chosen(fitter, video, RateTarget(target_bytes=cap), bad, good)
    assert found.size <= cap
    assert mean_psnr(found.model.render(), video.frames) > mean_psnr(bad.model.render(), video.frames) + 1

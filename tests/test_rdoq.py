"""train/refining.py: symbols moved by one after the fit."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_square

from codec.encoder import encode
from codec.model import QuantizedModel
from inr.video import Video
from train.encode.run import EncodeOptions, prepare, zero_model
from train.fit.loop import Fitter, fit
from train.fit.rdoq import Bounds, Refiner, ByteBudget, filled, refined
from train.fit.target import RateTarget


@pytest.fixture(scope="module")
def fitter(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> Fitter:
    run = prepare(clip, Path(tmp_path_factory.mktemp("plan")) / "a.inr", EncodeOptions(target=RateTarget(target_bpp=2.0)))
    fitter = Fitter(replace(run.problem, config=replace(run.problem.config, steps=400)), clip)
    fit(fitter)
    return fitter


def symbols_of(model) -> dict[str, np.ndarray]:
    return {name: tensor.symbols for name, tensor in (model.layers[0].tensors | model.videos[0].tensors).items()}


def test_the_loss_of_real_files_gets_better(fitter: Fitter):
    model = fitter.model()
    better = refined(fitter, model)
    refiner = Refiner(fitter, model)
    before, after = refiner.measured(symbols_of(model)), refiner.measured(symbols_of(better))
    assert after.loss < 0.995 * before.loss
    assert abs(after.bits - 8 * len(encode(better))) < 0.05 * after.bits + 8 * 300
    moved = [np.abs(symbols_of(better)[name] - symbols).max() for name, symbols in symbols_of(model).items()]
    assert max(moved) == 1


def test_bounds_are_kept(fitter: Fitter):
    model = fitter.model()
    start = Refiner(fitter, model).measured(symbols_of(model))
    small = Refiner(fitter, model).measured(symbols_of(refined(fitter, model, Bounds(most_bits=start.bits - 1))))
    assert small.bits <= start.bits - 1 or small == start
    good = Refiner(fitter, model).measured(symbols_of(refined(fitter, model, Bounds(most_mse=start.mse))))
    assert good.mse <= start.mse
    assert good.bits <= start.bits


def test_bits_left_over_are_used_for_a_better_picture(fitter: Fitter):
    model = fitter.model(dict.fromkeys(fitter.problem.layout.names, 5))  # on wider steps than it was fitted on: moves can mend that
    start = Refiner(fitter, model).measured(symbols_of(model))
    full = Refiner(fitter, model).measured(symbols_of(refined(fitter, model, Bounds(1.06 * start.bits, least_bits=1.03 * start.bits))))
    assert 1.03 * start.bits <= full.bits <= 1.06 * start.bits
    assert full.mse < start.mse


def file_size(model: QuantizedModel) -> int:
    return len(encode(model))


def test_a_file_is_filled_up_to_the_word(fitter: Fitter):
    model = fitter.model()
    size = file_size(model)
    full = filled(fitter, model, ByteBudget(file_size, size + 37, size + 40))
    assert size + 37 <= file_size(full) <= size + 40
    assert Refiner(fitter, full).start().mse < Refiner(fitter, model).start().mse


def test_blank_tensors_are_filled_and_what_does_not_fit_is_left(fitter: Fitter):
    blank = zero_model(fitter.problem.spec, fitter.problem.video)
    size = file_size(blank)
    assert file_size(filled(fitter, blank, ByteBudget(file_size, size + 1, size + 12))) > size
    assert file_size(filled(fitter, blank, ByteBudget(file_size, size + 1, size))) == size
    assert file_size(filled(fitter, blank, ByteBudget(file_size, size + 1, size + 12, until=0.0))) == size


def test_slopes_and_curvatures_foresee_small_moves(fitter: Fitter):
    model = fitter.model()
    refiner, symbols = Refiner(fitter, model), symbols_of(model)
    base = refiner.mse(symbols)
    slopes = refiner.slopes(symbols)
    name = "head.bias"
    curvature = refiner.curvatures({name: symbols[name]} | symbols)[name]
    errors = []
    for index in range(6):
        moved = symbols[name].copy()
        moved[index] += 1
        expected = float(slopes[name][index]) + curvature / 2
        errors.append(abs(refiner.mse(symbols | {name: moved}) - base - expected) / (abs(expected) + curvature))
    assert np.median(errors) < 0.5
    assert math.isfinite(max(errors))


def test_a_long_clip_is_judged_by_a_sample_of_its_frames(tmp_path: Path):
    """Moves of what all frames share are judged by some frames, and still pay over all of them."""
    clip = moving_square(frames=48, height=16, width=24)
    run = prepare(clip, tmp_path / "a.inr", EncodeOptions(target=RateTarget(target_bpp=1.0)))
    fitter = Fitter(replace(run.problem, config=replace(run.problem.config, steps=300)), clip)
    fit(fitter)
    model = fitter.model()
    refiner = Refiner(fitter, model)
    assert refiner.sample.size < refiner.batches.size == 48
    assert np.array_equal(refiner.evaluation_batches("canvas.flows.0"), refiner.batches)
    before, after = refiner.start(), Refiner(fitter, refined(fitter, model)).start()
    assert after.loss < before.loss

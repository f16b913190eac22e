"""train/fit/rdoq.py and rdoq_evaluator.py: symbols move by one after a fit where the loss gets better, within bounds."""

import numpy as np
import pytest
from conftest import moving_square
from short_fits import short_plan

from codec.encoder import encode
from codec.model import QuantizedModel
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.loop import fit
from train.fit.rdoq import UNBOUNDED, Bounds, ByteBudget, fill_file, optimise_symbols
from train.fit.rdoq_evaluator import Measured, SymbolEvaluator, Symbols
from train.plan.encode_plan import zero_model


@pytest.fixture(scope="module")
def fitter(clip: Video, tmp_path_factory: pytest.TempPathFactory) -> Fitter:
    """A fitter at the end of its fit."""
    fitter = short_plan(clip, tmp_path_factory.mktemp("plan"), preset="400").fitter(clip)
    fit(fitter)
    return fitter


@pytest.fixture(scope="module")
def model(fitter: Fitter) -> QuantizedModel:
    """The model of that fit."""
    return fitter.model()


@pytest.fixture(scope="module")
def start(fitter: Fitter, model: QuantizedModel) -> Measured:
    """The measures of that model."""
    return SymbolEvaluator(fitter, model).start()


@pytest.fixture
def one_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """RDOQ tries one share of a tensor's promising moves instead of four."""
    monkeypatch.setattr("train.fit.rdoq.SHARES", (0.06,))


def symbols_of(model: QuantizedModel) -> Symbols:
    return {name: tensor.symbols for name, tensor in (model.layers[0].tensors | model.videos[0].tensors).items()}


def moved(before: QuantizedModel, after: QuantizedModel) -> int:
    """Number of symbols that differ."""
    return sum(int(np.count_nonzero(symbols_of(after)[name] != symbols)) for name, symbols in symbols_of(before).items())


def optimised(fitter: Fitter, model: QuantizedModel, bounds: Bounds = UNBOUNDED) -> tuple[QuantizedModel, Measured]:
    """The model after RDOQ, and its measures."""
    after = optimise_symbols(fitter, model, bounds)
    return after, SymbolEvaluator(fitter, after).start()


def test_the_loss_of_real_files_gets_better(fitter: Fitter, model: QuantizedModel, start: Measured):
    better, after = optimised(fitter, model)
    assert after.loss < 0.995 * start.loss
    assert abs(after.bits - 8 * len(encode(better))) < 0.05 * after.bits + 8 * 300
    assert len(encode(better)) < len(encode(model))
    assert max(np.abs(symbols_of(better)[name] - symbols).max() for name, symbols in symbols_of(model).items()) == 1


@pytest.mark.usefixtures("one_share")
def test_bits_and_distortion_stay_within_their_bounds(fitter: Fitter, model: QuantizedModel, start: Measured):
    fewer, small = optimised(fitter, model, Bounds(most_bits=start.bits - 1))
    assert moved(model, fewer) > 0
    assert small.bits <= start.bits - 1
    as_good, good = optimised(fitter, model, Bounds(most_mse=start.mse))
    assert moved(model, as_good) > 0
    assert good.mse <= start.mse
    assert good.bits < start.bits


def test_no_symbol_moves_after_the_deadline(fitter: Fitter, model: QuantizedModel):
    assert moved(model, optimise_symbols(fitter, model, Bounds(until=0.0))) == 0


@pytest.mark.usefixtures("one_share")
def test_bits_left_over_are_used_for_a_better_picture(fitter: Fitter):
    """Moves can mend a model whose step sizes are larger than those that it was fitted on."""
    model = fitter.model(dict.fromkeys(fitter.problem.layout.names, 5))
    start = SymbolEvaluator(fitter, model).start()
    _, full = optimised(fitter, model, Bounds(most_bits=1.06 * start.bits, least_bits=1.03 * start.bits))
    assert 1.03 * start.bits <= full.bits <= 1.06 * start.bits
    assert full.mse < start.mse


# Files filled to a size


def file_size(model: QuantizedModel) -> int:
    return len(encode(model))


def test_a_file_is_filled_to_the_word(fitter: Fitter, model: QuantizedModel, start: Measured):
    size = file_size(model)
    full = fill_file(fitter, model, ByteBudget(file_size, size + 9, size + 12))
    assert size + 9 <= file_size(full) <= size + 12
    assert SymbolEvaluator(fitter, full).start().mse < start.mse


def test_blank_tensors_are_filled_and_moves_that_do_not_fit_are_left_out(fitter: Fitter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("train.fit.rdoq.BETTERING_PASSES", 2)
    blank = zero_model(fitter.problem.spec, fitter.problem.video)
    size = file_size(blank)
    assert size < file_size(fill_file(fitter, blank, ByteBudget(file_size, size + 1, size + 12))) <= size + 12
    assert file_size(fill_file(fitter, blank, ByteBudget(file_size, size + 1, size))) == size
    assert file_size(fill_file(fitter, blank, ByteBudget(file_size, size + 1, size + 12, until=0.0))) == size


# Foresight


def test_gradients_foresee_the_distortion_of_single_moves(fitter: Fitter, model: QuantizedModel):
    """Over single moves by 1 either way, foreseen and real changes of the MSE agree in size and order."""
    evaluator, symbols = SymbolEvaluator(fitter, model), symbols_of(model)
    base, gradients, curvatures = evaluator.mse(symbols), evaluator.gradients(symbols), evaluator.curvatures(symbols)
    for name in ("head.kernel", "head.bias"):
        foreseen, real = [], []
        for index in np.argsort(-np.abs(gradients[name]).ravel())[:6]:
            for move in (-1, 1):
                trial = symbols[name].copy()
                trial.flat[index] += move
                foreseen.append(float(gradients[name].flat[index]) * move + curvatures[name] / 2)
                real.append(evaluator.mse(symbols | {name: trial}) - base)
        assert np.corrcoef(foreseen, real)[0, 1] > 0.9
        assert 0.5 < np.std(foreseen) / np.std(real) < 2


def test_curvatures_foresee_the_distortion_of_many_random_moves(fitter: Fitter, model: QuantizedModel):
    """There and back, so that the gradient cancels; the probe's own random moves are others."""
    evaluator, symbols, name = SymbolEvaluator(fitter, model), symbols_of(model), "head.kernel"
    curvature, base = evaluator.curvatures(symbols)[name], evaluator.mse(symbols)
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.int32), symbols[name].shape)
    there, back = (evaluator.mse(symbols | {name: symbols[name] + way * signs}) - base for way in (1, -1))
    assert curvature > 0
    assert (there + back) / (curvature * signs.size) == pytest.approx(1, abs=0.6)


def test_gains_count_what_a_move_saves_and_what_it_costs(fitter: Fitter, model: QuantizedModel):
    """Most moves of the best gains, each made alone, lower the loss."""
    evaluator, symbols = SymbolEvaluator(fitter, model), symbols_of(model)
    moves, gains = evaluator.candidate_moves(symbols)
    start, name = evaluator.start(), "blocks.0.conv.kernel"
    lowered = 0
    for index in np.argsort(-gains[name].ravel())[:8]:
        trial = symbols[name].copy()
        trial.flat[index] += moves[name].flat[index]
        lowered += evaluator.measured(symbols | {name: trial}).loss < start.loss
    assert lowered >= 6


# Long videos


def test_moves_that_all_frames_share_are_judged_by_a_sample_of_frames(fitter: Fitter, tmp_path_factory: pytest.TempPathFactory):
    long = moving_square(frames=48, height=16, width=24)
    fresh = short_plan(long, tmp_path_factory.mktemp("long")).fitter(long)
    evaluator = SymbolEvaluator(fresh, fresh.model())
    assert evaluator.sample.size < evaluator.batches.size == 48
    assert (evaluator.sample[0, 0], evaluator.sample[-1, -1]) == (0, 47)
    assert np.array_equal(evaluator.evaluation_batches("canvas.flows.0"), evaluator.batches)
    assert np.array_equal(evaluator.evaluation_batches("head.kernel"), evaluator.sample)


def test_moves_judged_by_a_sample_pay_over_all_frames(
    fitter: Fitter, model: QuantizedModel, start: Measured, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("train.fit.rdoq_evaluator.SAMPLE", 1)
    assert SymbolEvaluator(fitter, model).sample.size == 4  # of six frames
    better, after = optimised(fitter, model)
    assert moved(model, better) > 0
    assert after.loss < start.loss

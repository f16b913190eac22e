"""codec/frame_contexts.py and train/encode/own_contexts.py: planes come back, contexts are causal, and models pay or are left out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import moving_square
from make_vectors import CAM, model_of
from short_fits import short_plan

from codec.bitstream import BitstreamError, Kind, assemble_file, records
from codec.coding import best_coding, codings
from codec.context_model import TEMPLATE, ContextModel
from codec.decoder import decode
from codec.encoder import encode
from codec.frame_contexts import (
    EARLIER,
    NEAR,
    FrameContextCoding,
    inputs_of,
    known_planes,
    model_shapes,
    order_of,
    planes_of,
    read_planes,
    tensor_of,
)
from codec.model import QuantizedModel, QuantizedTensor
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter
from inr.spec import CanvasSpec, VideoSpec
from inr.tensor_spec import Owner, TensorSpec, Zeros
from inr.video import Video
from train.encode import own_contexts
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.fitter import RETARGETED_FROM, Fitter
from train.fit.loop import Fitted
from train.fit.target import LEAST_USED, RateTarget

SHAPES = ((1, 1), (7, 5), (16, 23), (1, 3, 4, 2), (5, 4, 6, 2), (9, 2, 3, 3), (6, 1, 1, 1))


def weights(shape: tuple[int, ...], hidden: int) -> dict[str, QuantizedTensor]:
    generator = np.random.default_rng(hidden)
    shapes = model_shapes(inputs_of(shape), hidden)
    return {name: QuantizedTensor(generator.integers(-30, 31, size, np.int32), -56) for name, size in shapes.items()}


def waves(shape: tuple[int, ...], noise: float = 0.4, height: float = 30.0) -> np.ndarray:
    """Symbols that change slowly over space and time, like a flow."""
    axes = np.indices(shape)
    smooth = height * np.sin(axes[0] / 3 + axes[1] / 5) * np.cos(axes[-1] / 4 + 0.3)
    return np.rint(smooth + noise * np.random.default_rng(0).standard_normal(shape)).astype(np.int32)


def written(coding: FrameContextCoding) -> bytes:
    writer = RangeWriter()
    coding.write(writer, 0)
    return writer.getvalue()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("hidden", [0, 1, 3])
def test_planes_come_back_and_take_their_bits(shape: tuple[int, ...], hidden: int):
    generator, model = np.random.default_rng(3), weights(shape, hidden)
    for symbols in (np.zeros(shape, np.int32), waves(shape), generator.integers(-2000, 2001, shape, np.int32)):
        coding = FrameContextCoding(symbols, ContextModel.of(model), 100.0)
        data = written(coding)
        for dtype in (np.float32, np.int32):
            assert np.array_equal(read_planes(RangeReader(data), ContextModel.of(model, dtype), shape), symbols)
        assert abs(8 * len(data) - (coding.bits - 100)) <= 64
        assert np.array_equal(tensor_of(planes_of(symbols), shape), symbols)


def test_contexts_are_these_symbols():
    symbols = np.random.default_rng(1).integers(-40, 41, (4, 5, 6, 2), np.int32)
    planes = list(known_planes(symbols, np.int32))
    contexts, values = np.concatenate([plane.inputs for plane in planes]), np.concatenate([plane.symbols - plane.bases for plane in planes])
    places = np.stack(np.unravel_index(order_of((4, 5, 6)).flat, (4, 5, 6)), axis=-1)

    def at(plane: int, frame: int, row: int, column: int) -> int:
        inside = 0 <= frame < 4 and 0 <= row < 5 and 0 <= column < 6
        return int(symbols[frame, row, column, plane]) if inside else 0

    for index in range(0, len(values), 7):
        plane, (frame, row, column) = index // len(places), places[index % len(places)].tolist()
        base = at(plane, frame - 1, row, column)
        expected = [at(plane, frame, row - dy, column + dx) - base for dx, dy in TEMPLATE[:NEAR]]
        expected += [at(plane, frame - 1, row + dy, column + dx) - base for dx, dy in EARLIER]
        expected += [base - at(plane, frame - 2, row, column)]
        expected += [at(0, frame, row, column) - at(0, frame - 1, row, column) if plane else 0]
        assert contexts[index].tolist() == [64 * max(-63, min(63, value)) for value in expected]
        assert values[index] == at(plane, frame, row, column) - base


def test_savings_are_exact_for_a_symbol_that_is_no_context():
    symbols, shape = waves((5, 4, 6, 2)), (5, 4, 6, 2)
    coding = FrameContextCoding(symbols, ContextModel.of(weights(shape, 1)), 0.0)
    for move in (-1, 1):
        moved = symbols.copy()
        moved[-1, -1, -1, 1] += move  # the last symbol of the last plane
        expected = coding.bits - FrameContextCoding(moved, ContextModel.of(weights(shape, 1)), 0.0).bits
        assert coding.savings(move)[-1, -1, -1, 1] == pytest.approx(expected, abs=1e-6)


def test_every_symbol_is_coded_once_after_its_contexts():
    for shape in ((1, 9, 4), (5, 3, 7), (4, 1, 1)):
        order = order_of(shape)
        assert sorted(order.flat.tolist()) == list(range(math.prod(shape)))
        assert order.starts[-1] == math.prod(shape)
        frame, row, column = np.unravel_index(order.flat, shape)
        fronts = column + 2 * row + 3 * frame
        assert (np.diff(fronts) >= 0).all()
        assert np.array_equal(np.flatnonzero(np.diff(fronts)) + 1, order.starts[1:-1])


def canvas_model() -> QuantizedModel:
    spec = replace(CAM, canvas=CanvasSpec((1, 2), ((3, 4),), 2, 4, 3))
    model = model_of(spec, VideoSpec(41, 30, 5, name="canvas"))
    tensors = dict(model.videos[0].tensors)
    for name in ("canvas.flows.0", "canvas.grids.1"):
        tensors[name] = replace(tensors[name], symbols=waves(tensors[name].symbols.shape), contexts=weights(tensors[name].symbols.shape, 1))
    return replace(model, videos=(replace(model.videos[0], tensors=tensors),))


def test_a_file_keeps_symbols_and_models():
    model = canvas_model()
    decoded = decode(encode(model))
    for name, tensor in model.videos[0].tensors.items():
        found = decoded.videos[0].tensors[name]
        assert np.array_equal(found.symbols, tensor.symbols)
        assert (found.contexts is None) == (tensor.contexts is None)
    assert encode(decoded) == encode(model)
    assert np.array_equal(decoded.render(), model.render())


def test_damaged_streams_are_refused_or_decoded():
    data = encode(canvas_model())
    parsed = list(records(data))
    (index,) = [at for at, record in enumerate(parsed) if record.kind is Kind.VIDEO]
    generator, refused = np.random.default_rng(2), 0
    for _ in range(300):
        payload = bytearray(parsed[index].payload)
        payload[int(generator.integers(20, len(payload)))] ^= 1 << int(generator.integers(8))
        changed = [(record.kind, bytes(payload) if at == index else record.payload) for at, record in enumerate(parsed)]
        try:
            decode(assemble_file([pair for pair in changed if pair[0] is not Kind.END], b""))
        except BitstreamError:
            refused += 1
    assert 0 < refused < 300


def test_a_model_beyond_its_bounds_is_refused():
    model = canvas_model()
    tensor = model.videos[0].tensors["canvas.grids.1"]
    large: Mapping[str, QuantizedTensor] = {
        name: replace(value, symbols=100 * value.symbols + 999, exponent=-24) if name == "output.kernel" else value
        for name, value in (tensor.contexts or {}).items()
    }
    with pytest.raises(BitstreamError, match="magnitudes"):
        ContextModel.of(large)


# Training


def spec_of(symbols: np.ndarray) -> TensorSpec:
    return TensorSpec("flow", symbols.shape, Owner.VIDEO, Zeros(), own_contexts=True)


def test_a_tensor_that_can_be_predicted_gets_a_model_that_saves_bits():
    symbols = waves((16, 12, 14, 2))
    alone = QuantizedTensor(symbols, -24)
    found = own_contexts.with_contexts(spec_of(symbols), alone)
    assert found.contexts is not None
    bits = codings([spec_of(symbols)], {"flow": found})["flow"].bits
    assert bits < 0.7 * best_coding(symbols).bits
    again = own_contexts.with_contexts(spec_of(symbols), alone)
    assert all(np.array_equal(again.contexts[name].symbols, value.symbols) for name, value in found.contexts.items())


def test_a_tensor_stays_without_a_model_that_does_not_pay():
    generator = np.random.default_rng(0)
    noise = np.rint(generator.laplace(0, 2, (20, 30))).astype(np.int32)
    jumps = np.where(np.arange(900).reshape(30, 30, 1, 1) % 2, MAX_SYMBOL, -MAX_SYMBOL) * np.sign(
        np.arange(30)[:, None, None, None] % 2 - 0.5
    )
    small = waves((4, 5))
    for symbols in (noise, jumps.astype(np.int32), small):
        assert own_contexts.with_contexts(spec_of(symbols), QuantizedTensor(symbols, -24)).contexts is None


def test_weights_beyond_the_bound_are_left_out(monkeypatch: pytest.MonkeyPatch):
    symbols = waves((16, 12, 14, 2))
    large = {name: np.full(shape, 9.0, np.float32) for name, shape in model_shapes(inputs_of(symbols.shape), 1).items()}
    monkeypatch.setattr(own_contexts, "trained", lambda symbols: large)
    assert own_contexts.with_contexts(spec_of(symbols), QuantizedTensor(symbols, -24)).contexts is None


@pytest.mark.parametrize(("shares", "rounds"), [((0.8, 0.8), 1), ((0.8, 0.9, 0.9), 2), ((0.9, 0.8, 0.8), 2), ((1.0, 1.001), 1)])
def test_rate_control_aims_at_the_cap_after_the_models(shares: tuple[float, ...], rounds: int, monkeypatch: pytest.MonkeyPatch):
    """Models are numbers of bytes here. `shares` are what context models leave of them: after the fit, then after each rate control."""
    cap, limits, left = 40_000, [], list(shares)

    def control(fitter, fitted, setup, say):
        limits.append(setup.target.target_bytes)
        return sized(limits[-1])

    class Sizes:
        def __init__(self, fitter, setup):
            pass

        def measured_symbols(self, model):
            return sized(model)

    def sized(size: int) -> Candidate:
        return Candidate(b"", size, cast(Any, size), 0.0, None, LEAST_USED * cap <= size <= cap)

    monkeypatch.setattr(own_contexts, "control_rate", control)
    monkeypatch.setattr(own_contexts, "RateControl", Sizes)
    monkeypatch.setattr(own_contexts, "measured_share", lambda fitter, model: left.pop(0))
    monkeypatch.setattr(own_contexts, "with_own_contexts", lambda model: int(left.pop(0) * model))
    monkeypatch.setattr(own_contexts, "has_tensors", lambda fitter: True)
    fitted = Fitted(cast(Any, 50_000), 0.0, 1, 0.0, False, cast(Any, None))
    found = own_contexts.control_rate_with_contexts(
        cast(Any, None), fitted, RateControlSetup(moving_square(), RateTarget(target_bytes=cap), b"")
    )
    assert LEAST_USED * cap <= found.size <= cap
    assert len(limits) == rounds


def test_a_fit_aims_at_what_the_models_leave(clip: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The share is measured once; steps from then on have the new target, in a resumed run too."""
    calls, targets = [], []
    monkeypatch.setattr(own_contexts, "SMALL_FILE", 0)
    monkeypatch.setattr(own_contexts, "measured_share", lambda fitter, model: calls.append(fitter.done) or 0.8)

    def followed() -> tuple[Fitter, Callable[[], None]]:
        plan = short_plan(clip, tmp_path)
        fitter = plan.fitter(clip)
        advance = fitter.advance

        def recorded(state, sources, schedule, count, use_embedder):
            targets.append((float(schedule.progress), float(schedule.bits)))
            return advance(state, sources, schedule, count, use_embedder)

        fitter.advance = recorded
        return fitter, own_contexts.follow_share(fitter, plan)

    fitter, watch = followed()
    while fitter.done < fitter.steps:
        fitter.run_chunk()
        watch()
    first = -(-int(RETARGETED_FROM * fitter.steps) // fitter.chunk) * fitter.chunk
    assert calls == [first]
    overhead = fitter.problem.overhead_bits
    before, after = (8 * 0.99 * 2.0 * clip.frames.size / 3 / 8 / share - overhead for share in (1.0, 0.8))
    assert [bits for progress, bits in targets if progress < first / fitter.steps] == pytest.approx(
        [before] * (first // fitter.chunk), rel=1e-3
    )
    assert next(bits for progress, bits in targets if progress >= first / fitter.steps) == pytest.approx(after, rel=1e-3)
    again, _ = followed()
    assert len(calls) == 1
    assert again.later_problem is not None
    assert again.later_problem.config.target_bpp == pytest.approx(0.99 * 2.0 / 0.8, rel=1e-3)

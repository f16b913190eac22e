"""codec/context_model.py, codec/laplace_tables.py, codec/context_coding.py: the model is exact, its tables are good, grids come back."""

import math
from collections.abc import Iterable

import constriction
import numpy as np
import pytest

from codec.bitstream import BitstreamError
from codec.coding import Coding
from codec.context_coding import ContextCoding, read_excess, read_grid, write_excess
from codec.context_model import MARGIN, MAX_NORM, TEMPLATE, ContextModel, coarser_features, wavefronts, with_margin
from codec.decoder import open_stream
from codec.laplace_tables import COLUMNS, STEP_DECAYS, UNIT_DECAYS, costs, counts, excess_bits, locate, tables
from codec.model import QuantizedTensor
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter

SHAPES = ((1, 1), (1, 19), (19, 1), (2, 2), (6, 3), (3, 8), (23, 40))


def tensor(values: Iterable, exponent: int) -> QuantizedTensor:
    return QuantizedTensor(np.array(values, np.int32), exponent)


def small_model(inputs: int = 6, hidden: int = 2, dtype: type = np.float32) -> ContextModel:
    """A model whose mean follows the left and upper neighbours, and whose scale follows random activations."""
    generator, tensors = np.random.default_rng(1), {}
    for index in range(hidden):
        tensors[f"hidden.{index}.kernel"] = tensor(generator.integers(-20, 21, (inputs, inputs)), -48)
        tensors[f"hidden.{index}.bias"] = tensor(generator.integers(-9, 10, inputs), -32)
    tensors["linear.kernel"] = tensor([[50, 0], [40, 0], *[[-3, 2]] * (inputs - 2)], -56)
    tensors["output.kernel"] = tensor(generator.integers(-9, 30, (inputs, 2)) * [0, 1], -56)
    tensors["output.bias"] = tensor([1, -20], -24)
    return ContextModel.of(tensors, dtype)


def clustered(shape: tuple[int, int]) -> np.ndarray:
    """Symbols whose magnitudes are alike among neighbours: large in some places, zero in others."""
    y, x = np.indices(shape)
    return np.rint(np.random.default_rng(4).laplace(0, 3, shape) * np.maximum(np.sin(x / 5 + 1) * np.cos(y / 4), 0)).astype(np.int32)


def uniform(shape: tuple[int, int], limit: int) -> np.ndarray:
    return np.random.default_rng(limit).integers(-limit, limit + 1, shape, np.int32)


def written(coding: ContextCoding) -> bytes:
    writer = RangeWriter()
    coding.write(writer, 0)
    return writer.getvalue()


def tensors_at_the_bounds(generator: np.random.Generator, inputs: int, hidden: int) -> dict[str, QuantizedTensor]:
    """The weights of each output have the largest legal sum, and so have its weights and its bias together, up to a step size."""

    def weights(rows: int, columns: int) -> np.ndarray:
        magnitudes = generator.multinomial(MAX_NORM, generator.dirichlet(np.full(rows, 1)), columns).T
        return magnitudes * generator.choice([-1, 1], (rows, columns))

    tensors = {}
    for index in range(hidden):
        tensors[f"hidden.{index}.kernel"] = tensor(weights(inputs, inputs) - 256 * np.eye(inputs), -64)
        tensors[f"hidden.{index}.bias"] = tensor(generator.choice([-2055, 0, 2055], inputs), -40)
    last = weights(2 * inputs, 2)
    tensors["output.kernel"], tensors["linear.kernel"] = tensor(last[:inputs], -64), tensor(last[inputs:], -64)
    tensors["output.bias"] = tensor(generator.choice([-2055, 0, 2055], 2), -40)
    return tensors


def predicted_by_hand(tensors: dict[str, QuantizedTensor], contexts: list[int]) -> tuple[int, int]:
    """The format, word by word, in Python's integers."""

    def scaled(name: str, bits: int) -> list:
        return (tensors[name].symbols.astype(object) * 2 ** (tensors[name].exponent // 8 + bits)).tolist()

    def product(kernel: list, values: list[int]) -> list[int]:
        return [sum(row[out] * value for row, value in zip(kernel, values, strict=True)) for out in range(len(kernel[0]))]

    h = contexts
    for index in range(sum(name.endswith("kernel") for name in tensors) - 2):
        sums = zip(product(scaled(f"hidden.{index}.kernel", 8), h), h, scaled(f"hidden.{index}.bias", 14), strict=True)
        h = [min(max(math.floor(s + 256 * own + bias) >> 8, 0), 4095) for s, own, bias in sums]
    parts = product(scaled("output.kernel", 8), h), product(scaled("linear.kernel", 8), contexts), scaled("output.bias", 14)
    mean, scale = map(math.floor, map(sum, zip(*parts, strict=True)))
    return min(max((mean + 2**8) >> 9, -2016), 2016), min(max(((scale + 2**10) >> 11) + 32, 0), 56)


def test_int32_float32_and_float64_give_the_same_results_at_the_bounds():
    generator = np.random.default_rng(7)
    for trial in range(200):
        inputs, hidden = int(generator.integers(2, 21)), trial % 4
        tensors = tensors_at_the_bounds(generator, inputs, hidden)
        contexts = 64 * generator.integers(-63, 64, (60, inputs), np.int32)
        contexts[:20] = 64 * 63 * np.sign(contexts[:20])
        kernel = tensors["hidden.0.kernel" if hidden else "linear.kernel"].symbols
        contexts[0], contexts[1] = 64 * 63 * np.sign(kernel[:, 0]), -64 * 63 * np.sign(kernel[:, -1])  # the largest sums
        results = [ContextModel.of(tensors, dtype).predict(contexts.astype(dtype)) for dtype in (np.int32, np.float32, np.float64)]
        assert all(np.array_equal(results[0], result) for result in results[1:])
        for index in range(4):
            assert predicted_by_hand(tensors, contexts[index].tolist()) == (results[0][0][index], results[0][1][index])


ONES = [[1, 0], [0, 1]]
BEYOND = {
    "hidden.0.kernel": [([[3585, 0], [0, 0]], -64), ([[-4095, 0], [2, 0]], -64), ([[481, 0], [0, 0]], -40)],
    "hidden.1.kernel": [(ONES, -16), (ONES, -20), (ONES, -72)],
    "linear.kernel": [([[1921, 0], [0, 0]], -64)],
    "output.kernel": [([[0, 1], [0, 1920]], -64)],
    "output.bias": [([4095, 0], 0), ([0, -65], 0)],
    "hidden.0.bias": [([257, 0], -16), ([1, 1], 8), ([1, 1], -33), ([1, 1], -72)],
}


@pytest.mark.parametrize(("name", "values", "exponent"), [(name, *case) for name, cases in BEYOND.items() for case in cases])
def test_a_model_beyond_its_bounds_is_rejected(name: str, values: Iterable, exponent: int):
    legal = {
        "hidden.0.kernel": tensor([[0, 0], [3584, 0]], -64),
        "hidden.0.bias": tensor([256, 0], -16),
        "hidden.1.kernel": tensor(ONES, -24),
        "hidden.1.bias": tensor([0, 0], 0),
        "linear.kernel": tensor([[1920, 0], [0, -1920]], -64),
        "output.kernel": tensor([[1920, 0], [0, 1920]], -64),
        "output.bias": tensor([0, 0], 99),
    }
    ContextModel.of(legal)  # the exponent of zeros has no meaning
    with pytest.raises(BitstreamError) as caught:
        ContextModel.of(legal | {name: tensor(values, exponent)})
    assert caught.value.identifier == "bad-context-model"


def test_a_model_has_at_most_three_hidden_layers_and_the_contexts_of_the_template():
    tensors = tensors_at_the_bounds(np.random.default_rng(0), 16, 4)
    with pytest.raises(BitstreamError, match="4 hidden layers"):
        ContextModel.of(tensors)
    for inputs, features in ((15, 0), (1, 2)):
        model = ContextModel.of(tensors_at_the_bounds(np.random.default_rng(0), inputs, 1))
        with pytest.raises(BitstreamError, match=f"{inputs} contexts"):
            model.predict_all(np.zeros((2, 2), np.int32), np.zeros((features, 2, 2), np.int32))


@pytest.mark.parametrize("entry", TEMPLATE)
def test_a_neighbour_lies_in_an_earlier_wavefront(entry: tuple[int, int]):
    dx, dy = entry
    assert dx - 2 * dy < 0
    assert abs(dx) <= MARGIN >= dy >= 0
    for shape in SHAPES:
        places = with_margin(np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape))
        seen = np.full((shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN), True)  # True outside the grid
        seen[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
        for line in wavefronts(shape):
            y, x = np.divmod(places[line], shape[1])
            assert np.ptp(x + 2 * y) == 0
            assert (np.diff(y) == 1).all()
            assert seen[y + MARGIN - dy, x + MARGIN + dx].all()
            assert not seen[y + MARGIN, x + MARGIN].any()
            seen[y + MARGIN, x + MARGIN] = True
        assert seen.all()


def test_contexts_are_the_neighbours_and_the_coarser_symbols():
    grid, coarser = uniform((7, 9), 90), [uniform((4, 5), 80), uniform((2, 3), 70)]
    features = coarser_features(list(zip(coarser, (1, 2), strict=True)), (7, 9), 3)
    means = []
    for index in range(len(TEMPLATE) + 3):  # one model for each context, whose mean is this context
        linear = np.zeros((len(TEMPLATE) + 3, 2), np.int32)
        linear[index, 0] = 1
        tensors = {"linear.kernel": tensor(linear * 256, -64), "output.kernel": tensor(linear * 0, 0), "output.bias": tensor([0, 0], 0)}
        means.append(ContextModel.of(tensors).predict_all(grid, features)[0])
    padded, limited = np.pad(grid, MARGIN), [np.clip(a, -63, 63) for a in coarser]
    for y, x in np.ndindex(7, 9):
        near = [padded[y + MARGIN - dy, x + MARGIN + dx] for dx, dy in TEMPLATE]
        expected = [*np.clip(near, -63, 63), limited[0][y // 2, x // 2], limited[1][y // 4, x // 4], 0]
        assert [mean[y, x] for mean in means] == [32 * value for value in expected]


def test_the_committed_integers_are_the_exponential_functions():
    for decays, unit in ((STEP_DECAYS, 32), (UNIT_DECAYS, 1)):
        exact = [2**24 * math.exp(-1 / (unit * 2 ** (scale / 8 - 4))) for scale in range(57)]
        assert list(decays) == [round(value) for value in exact]
        assert all(abs(value % 1 - 0.5) > 1e-4 for value in exact)  # no integer depends on the accuracy of the function


def test_the_counts_sum_mirror_and_decrease_and_are_found():
    assert counts().shape == (57, 33, 33)
    assert (counts() >= 0).all()
    assert (counts().sum(axis=-1) == 1 << 16).all()
    assert np.array_equal(counts(), counts()[:, ::-1, ::-1])
    assert (np.diff(counts()[..., 17:32]) <= 0).all()
    means = np.array([-49, -48, -17, -16, 0, 15, 16, 47])
    centres, rows = locate(means, np.full(8, 2))
    assert centres.tolist() == [-2, -1, -1, 0, 0, 0, 1, 1]  # rounded half up
    assert (rows == 2 * 33 + 16 + means - 32 * centres).all()
    assert counts()[0, 16, 14:19].tolist() == [0, 11, 65514, 11, 0]
    assert counts()[56, 32, 12:19].tolist() == [2335, 2646, 2999, 3398, 3852, 3850, 3398]


def test_the_tables_are_near_the_laplace_distribution():
    scale, mean = 2.0 ** (np.arange(57) / 8 - 4)[:, None, None], np.arange(-16, 17)[:, None] / 32
    edges = np.concatenate([[-np.inf], np.arange(-15, 17) - 0.5, [np.inf]])
    below, above = (0.5 * np.exp(np.minimum(side * (edges - mean), 0) / scale) for side in (1, -1))
    masses = np.where(
        edges[1:] <= mean, np.diff(below), np.where(edges[:-1] >= mean, -np.diff(above), 1 - below[..., :-1] - above[..., 1:])
    )
    entropy = -(masses * np.log2(np.maximum(masses, 1e-300))).sum(axis=-1)
    excess = (masses * costs().reshape(masses.shape)).sum(axis=-1) - entropy
    assert (excess > -1e-9).all()
    assert (excess / entropy).max() < 1e-3


def test_one_call_for_many_tables_gives_the_words_of_one_call_for_each():
    generator = np.random.default_rng(5)
    rows, columns = generator.integers(0, len(tables()), 400), generator.integers(0, COLUMNS, 400, np.int32)
    writer, encoder = RangeWriter(), constriction.stream.queue.RangeEncoder()
    writer.columns(columns, tables()[rows])
    for row, column in zip(rows, columns, strict=True):
        encoder.encode(int(column), constriction.stream.model.Categorical(tables()[row], perfect=False))
    assert writer.getvalue() == encoder.get_compressed().astype("<u4").tobytes()
    assert abs(8 * len(writer.getvalue()) - costs()[rows, columns].sum()) <= 64


def test_the_coder_computes_the_integer_formula_for_these_tables():
    """The 24-bit cumulative counts are read off the coder by the places where it splits its range."""
    for row in (0, 16, 33 * 20 + 3, 33 * 56 + 32):
        edges = np.concatenate([[0], np.cumsum(counts().reshape(-1, COLUMNS)[row])])
        lifted = [int(edge) * ((1 << 24) - COLUMNS) // (1 << 16) + i for i, edge in enumerate(edges)]
        assert costs()[row] == pytest.approx(24 - np.log2(np.diff(lifted)))
        for column in range(COLUMNS):
            for quantile in (lifted[column], lifted[column + 1] - 1):
                point = (quantile << 40) + (1 << 39)
                words = np.array([point >> 32, point & 0xFFFFFFFF], "<u4")
                assert RangeReader(words.tobytes()).columns(tables()[[row]]) == [column]


def test_an_excess_comes_back_and_takes_its_bits():
    for excess in (0, 3, 4, 11, 12, 4142, 8187):
        writer = RangeWriter()
        for _ in range(32):
            write_excess(writer, excess)
        reader = RangeReader(writer.getvalue())
        assert [read_excess(reader) for _ in range(32)] == [excess] * 32
        assert 0 <= len(writer.getvalue()) - 4 * excess_bits(np.array(excess)) <= 8
    writer = RangeWriter()
    for _ in range(11):
        writer.integer(1, 1)
    with pytest.raises(BitstreamError, match="leading ones"):
        read_excess(RangeReader(writer.getvalue()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("hidden", [0, 1, 3])
def test_grids_come_back_and_take_their_bits(shape: tuple[int, int], hidden: int):
    model, features = small_model(hidden=hidden), coarser_features([(uniform((-(-shape[0] // 2), -(-shape[1] // 2)), 9), 1)], shape, 2)
    corners = np.zeros(shape, np.int32)
    corners[0, 0], corners[-1, -1] = MAX_SYMBOL, -MAX_SYMBOL
    for grid in (np.zeros(shape, np.int32), clustered(shape), uniform(shape, 1), uniform(shape, 40), uniform(shape, MAX_SYMBOL), corners):
        coding: Coding = ContextCoding(grid, model, features)
        data = written(coding)
        assert np.array_equal(read_grid(RangeReader(data), model, shape, features), grid)
        assert np.array_equal(read_grid(RangeReader(data), small_model(hidden=hidden, dtype=np.int32), shape, features), grid)
        assert coding.parameter_bits == ()
        assert (coding.bits == 1) is not grid.any()
        assert abs(8 * len(data) - coding.bits) <= 64


def test_a_grid_has_these_exact_words():
    grid = np.array([[0, 1, 1, 0], [0, 2, 40, -1], [-900, 0, 0, 3]], np.int32)
    data = written(ContextCoding(grid, small_model(), coarser_features([(grid[:2, :2], 1)], grid.shape, 1)))
    assert np.frombuffer(data, "<u4").tolist() == [4075115836, 370195323, 1508635213, 77467354, 522117416]


def test_savings_are_those_of_single_moves_if_no_symbol_is_a_context():
    grid, features = uniform((5, 7), 20), uniform((30, 7), 9).reshape(6, 5, 7)
    coding = ContextCoding(grid, small_model(inputs=6), features)
    for move, y, x in np.ndindex(2, 5, 7):
        moved = grid.copy()
        moved[y, x] += 2 * move - 1
        saved = coding.bits - ContextCoding(moved, coding.model, features).bits
        assert coding.savings(2 * move - 1)[y, x] == pytest.approx(saved, abs=1e-6)


def test_mutated_streams_are_rejected_or_decoded():
    generator, grid = np.random.default_rng(3), clustered((12, 17)) * 9
    model, features = small_model(), coarser_features([], grid.shape, 2)
    data = np.frombuffer(written(ContextCoding(grid, model, features)), np.uint8)
    rejected = 0
    for trial in range(400):
        mutated = data.copy()
        mutated[generator.integers(0, len(data), generator.integers(1, 6))] ^= np.uint8(generator.integers(1, 256))
        try:
            with open_stream(mutated[: len(data) - 4 * (trial % 5)].tobytes()) as reader:
                found = read_grid(reader, model, grid.shape, features)
            assert found.shape == grid.shape
            assert np.abs(found).max() <= MAX_SYMBOL
        except BitstreamError:
            rejected += 1
    assert 0 < rejected < 400

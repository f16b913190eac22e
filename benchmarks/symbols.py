"""Bits of a finished file's symbols under other distributions, tables for parts of a tensor, contexts and predictions.

    python benchmarks/symbols.py FILE.inr [...]

Bits are of all tensors together, each tensor under the best parameters of its distribution. This codec's own tables count as the file has
them; the other distributions have exact parameters, and their side information is not counted unless the row says so. The script writes
benchmarks/symbols.csv.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats
from tables import write_rows

from codec.coding import best_coding, differences
from codec.decoder import decode
from codec.frequency_tables import best_table, information

SCALES = 2.0 ** np.linspace(-6, 10, 129)
CLASS_BITS = 19  # of side information for each table


def of_distribution(values: np.ndarray, cumulative: Callable[[np.ndarray, float], np.ndarray]) -> float:
    """Bits of integers under a distribution, each with the probability of the bin around it; its scale is the best of SCALES."""
    symbols, counts = np.unique(values, return_counts=True)
    best = np.inf
    for scale in SCALES:
        mass = cumulative(symbols + 0.5, scale) - cumulative(symbols - 0.5, scale)
        best = min(best, float(-(counts * np.log2(np.maximum(mass, 2.0**-24))).sum()))
    return best


def entropy(values: np.ndarray) -> float:
    """Bits under the values' own histogram: no table without context takes fewer."""
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def ours(values: np.ndarray) -> float:
    """Bits under this codec's best table."""
    return information(values, best_table(values))


def per_output(values: np.ndarray) -> float:
    """Bits with a table for each output channel of a kernel, side information not counted: a lower bound."""
    return sum(ours(values[..., i]) for i in range(values.shape[-1])) if values.ndim == 4 and len(values) < 10 else ours(values)


def by_neighbours(values: np.ndarray, causal_row: bool) -> float:
    """Bits of a grid's symbols in up to six classes by the magnitudes around them: a table for each class, side information counted."""
    if values.ndim != 2:
        return ours(values)
    padded = np.pad(np.abs(values), 2)
    h, w = values.shape

    def shifted(dy: int, dx: int) -> np.ndarray:
        return padded[2 + dy : 2 + dy + h, 2 + dx : 2 + dx + w]

    score = 2 * shifted(-1, 0) + shifted(-1, -1) + shifted(-1, 1) + shifted(-2, 0)
    score = score + 2 * shifted(0, -1) + shifted(0, -2) if causal_row else score
    best = ours(values)
    for classes in range(2, 7):
        edges = np.unique(np.quantile(score[score > 0], np.linspace(0, 1, classes)[:-1])) if score.any() else np.array([])
        owner = np.digitize(score, edges)
        best = min(best, sum(ours(values[owner == c]) + CLASS_BITS for c in np.unique(owner)) - CLASS_BITS)
    return best


def predicted(values: np.ndarray) -> float:
    """Bits of a grid's symbols minus a linear prediction from four neighbours, or of the symbols, whichever is less; no coefficients."""
    if values.ndim != 2:
        return ours(values)
    p = np.pad(values, ((1, 0), (1, 1)))
    around = np.stack([p[1:, :-2], p[:-1, 1:-1], p[:-1, :-2], p[:-1, 2:]], -1).reshape(-1, 4)
    weights = np.linalg.lstsq(around.astype(float), values.ravel(), rcond=None)[0]
    return min(ours(values), ours(values - np.rint(around @ weights).astype(np.int32).reshape(values.shape)))


WAYS: dict[str, Callable[[np.ndarray], float]] = {
    "two-sided geometric with a zero bin (ours)": ours,
    "Laplace": lambda v: of_distribution(v, lambda x, s: stats.laplace.cdf(x / s)),
    "Gaussian": lambda v: of_distribution(v, lambda x, s: stats.norm.cdf(x / s)),
    "Student-t, 2 degrees": lambda v: of_distribution(v, lambda x, s: stats.t.cdf(x / s, 2)),
    "Student-t, 5 degrees": lambda v: of_distribution(v, lambda x, s: stats.t.cdf(x / s, 5)),
    "own histogram, not counted": entropy,
    "ours, a table for each output channel, not counted": per_output,
    "ours, classes by neighbours in the rows above": lambda v: by_neighbours(v, False),
    "ours, classes by all causal neighbours": lambda v: by_neighbours(v, True),
    "ours, grids predicted linearly from neighbours": predicted,
}


def main() -> None:
    """Write a row for every way of coding every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    rows = []
    for path in parser.parse_args().files:
        model = decode(path.read_bytes())
        tensors = model.layers[0].tensors | model.videos[0].tensors
        codings = [best_coding(tensor.symbols) for tensor in tensors.values()]
        plain = sum(ours(tensor.symbols) for tensor in tensors.values())
        reference = sum(coding.bits for coding in codings)
        flows = [t.symbols for name, t in tensors.items() if name.startswith("canvas.flows")]
        bits = {"no differences along time": plain}
        bits["flows as differences, nothing else"] = plain + sum(ours(differences(s)) - ours(s) for s in flows)
        bits |= {name: sum(way(coding.values) for coding in codings) for name, way in WAYS.items()}
        rows += [{"file": path.stem, "way": name, "bits": round(b), "against ours": round(b / reference, 4)} for name, b in bits.items()]
    write_rows(Path(__file__).with_name("symbols.csv"), rows)
    for row in rows:
        print(*row.values(), sep="   ")


if __name__ == "__main__":
    main()

"""Mutants of the committed vectors, through the decoder and the two renderers.

A mutant is a file whose payloads are changed and whose checksums match, so the changes reach the parser. The decoder must refuse it with a
BitstreamError, or accept it; it must render an accepted mutant without an error. `python tests/fuzz.py --minutes 60` looks for mutants for
which this does not hold, or whose first frame takes too long or too much memory, and keeps them in a folder. tests/test_fuzz.py does the
same for a fixed number of mutants, and counts no seconds.
"""

import argparse
import resource
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.bitstream import BitstreamError, Kind, assemble_file, records, varint
from codec.decoder import decode
from codec.description import described
from codec.model import QuantizedModel
from codec.streams import streams_of
from inr.backend import Backend

FOLDER = Path(__file__).parent / "vectors"
WORD = 4  # bytes of a word of a range-coded stream
HEADER = 40  # bytes at the start of a payload in which most of its fields lie
NUMBERS = (0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 4095, 4096, 65535, 65536, 1 << 24, (1 << 28) - 1, 1 << 28, (1 << 32) - 1, 1 << 32)
MOST_SECONDS, MOST_BYTES = 2.0, 1 << 30  # of the first frames of an accepted mutant, and of the memory that decoding adds
RENDERED_PIXELS = 1 << 18  # the most pixels of a frame for which these bounds are asked

Parts = list[tuple[Kind, bytes]]


def parts_of(data: bytes) -> tuple[Parts, bytes]:
    """The records of a file as (kind, payload) without its end record, and the payload of the end record."""
    found = [(record.kind, record.payload) for record in records(data)]
    return found[:-1], found[-1][1]


def vectors() -> dict[str, tuple[Parts, bytes]]:
    """The parts of every committed vector by its name."""
    return {path.stem: parts_of(path.read_bytes()) for path in sorted(FOLDER.glob("*.inr"))}


def mutated_payload(payload: bytes, random: np.random.Generator) -> bytes:
    """`payload` after one change: a few bytes, a field with an extreme number, or a part that is cut, doubled or moved."""
    data = bytearray(payload)
    at = int(random.integers(min(len(data), HEADER) if random.random() < 0.7 else len(data)) if data else 0)
    length = int(random.integers(1, 9))
    match random.integers(6):
        case 0 if data:
            data[at] ^= 1 << int(random.integers(8))
        case 1 if data:
            data[at] = int(random.integers(256))
        case 2:
            data[at : at + 1] = varint(NUMBERS[random.integers(len(NUMBERS))])
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length]
        case _:
            data[at : at + length] = random.bytes(length)
    if random.random() < 0.5:  # a stream of whole words, which a reader does not refuse for its length
        data += bytes((len(payload) - len(data)) % WORD)
    return bytes(data)


def mutant(seed: int, sources: dict[str, tuple[Parts, bytes]]) -> bytes:
    """The file of this seed: a vector with one to four changes of payloads, or of the records themselves."""
    random = np.random.default_rng(seed)
    names = list(sources)
    parts, fingerprints = sources[names[random.integers(len(names))]]
    parts = list(parts)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(parts))) if parts else 0
        match random.integers(12):
            case 0 if len(parts) > 1:
                del parts[at]
            case 1 if parts:
                parts.insert(int(random.integers(len(parts) + 1)), parts[at])
            case 2:
                others, _ = sources[names[random.integers(len(names))]]
                parts.insert(at, others[random.integers(len(others))])
            case 3 if parts:
                parts[at] = (Kind(int(random.integers(1, len(Kind)))), parts[at][1])
            case 4:
                fingerprints = mutated_payload(fingerprints, random)
            case _ if parts:
                parts[at] = (parts[at][0], mutated_payload(parts[at][1], random))
    return assemble_file(parts, fingerprints)


def accepted(data: bytes) -> QuantizedModel | None:
    """The model of a mutant, after its description and its extra records were read as well; None if the decoder refuses it."""
    try:
        streams_of(data)
        model = decode(data)
        described(model, data, "mutant.inr", 0)
        return model
    except BitstreamError:
        return None


def first_frames(model: QuantizedModel, backend: Backend) -> None:
    """Render the first frame of every video, unless it is large."""
    for at, entry in enumerate(model.videos):
        if entry.spec.width * entry.spec.height <= RENDERED_PIXELS:
            frames = model.render_entry(at, [0], backend)
            assert frames.shape == (1, entry.spec.height, entry.spec.width, 3)
            assert frames.dtype == np.uint8


@dataclass
class Measures:
    """The number of mutants of each outcome so far, and the slowest and largest ones.

    `decoding` is the longest time until the symbols were read or refused, `seconds` that of the first frames, `growth` that of the memory.
    """

    outcomes: Counter[str]
    decoding: float = 0.0
    seconds: float = 0.0
    growth: int = 0


def measured(data: bytes, backend: Backend, measures: Measures) -> str | None:
    """Decode and render one mutant. The result says why it is to be kept; None if all is well."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        model = accepted(data)
        decoded = time.monotonic()
        if model is not None:
            first_frames(model, backend)
    except Exception as error:  # a mutant may raise anything: this is what is looked for
        return f"{type(error).__name__}: {error}"
    seconds, growth = time.monotonic() - decoded, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    measures.outcomes["refused" if model is None else "accepted"] += 1
    measures.decoding = max(measures.decoding, decoded - began)
    measures.seconds, measures.growth = max(measures.seconds, seconds), max(measures.growth, growth)
    if seconds > MOST_SECONDS or growth > MOST_BYTES:
        return f"{seconds:.1f} s, {growth / 1e6:.0f} MB more memory"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first mutant")
    parser.add_argument("--backend", choices=("numpy", "jax"), default="numpy")
    parser.add_argument("--keep", type=Path, default=Path("mutants"), help="folder of the mutants that fail")
    arguments = parser.parse_args()
    sources, measures, seed = vectors(), Measures(Counter()), arguments.seed
    until = time.monotonic() + 60 * arguments.minutes
    warnings.simplefilter("ignore")
    while time.monotonic() < until:
        data = mutant(seed, sources)
        reason = measured(data, Backend(arguments.backend), measures)
        if reason is not None:
            measures.outcomes["kept"] += 1
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{seed}.inr").write_bytes(data)
            print(f"{seed}: {reason}", flush=True)
        seed += 1
    print(f"{seed - arguments.seed} mutants, {dict(measures.outcomes)}, memory grew by {measures.growth / 1e6:.0f} MB at most")
    print(f"slowest decoding {measures.decoding:.2f} s, slowest first frames {measures.seconds:.2f} s")
    sys.exit(1 if measures.outcomes["kept"] else 0)


if __name__ == "__main__":
    main()

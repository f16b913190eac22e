"""From a fitted state to a file at or under its cap, written, decoded again and verified before it gets its name."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedModel, coarser
from inr.errors import TargetMissed, VerifyError
from inr.writing import temporary_name, write_atomically
from train.fitting import Fitted, Fitter, land

ATTEMPTS = 4
MORE_STEPS = 0.01  # of the fit's, each attempt
SLACK = 0.995  # the first attempt aims this far under the cap, each further one as far again
MAX_COARSER = 64  # eighths of an octave


def landed(fitter: Fitter, fitted: Fitted, cap: int | None, origin: bytes) -> tuple[bytes, QuantizedModel, float]:
    """The file, its model, and the estimate of its bits; at most `cap` bytes. The file carries `origin`.

    A fit that ends a little over its cap takes some more steps under a heavier rate; if those do not do it, all
    steps widen until it fits. TargetMissed if nothing does.
    """
    model, bits = replace(fitted.model, origin=origin), fitted.estimated_bits
    data = encode(model)
    if cap is None:
        return data, model, bits
    steps = max(50, int(MORE_STEPS * fitter.problem.config.steps))
    for attempt in range(1, ATTEMPTS + 1):
        if len(data) <= cap:
            return data, model, bits
        bits = land(fitter, 8 * cap * SLACK**attempt, steps) + fitter.problem.overhead_bits
        model = replace(fitter.model(), origin=origin)
        data = encode(model)
    for by in range(1, MAX_COARSER):
        if len(data) <= cap:
            return data, model, bits
        model = replace(coarser(fitter.model(), by), origin=origin)
        data = encode(model)
        bits = fitter.symbol_bits(model) + fitter.problem.overhead_bits
    raise TargetMissed(
        "size-unreachable",
        f"the smallest file this network gives is {len(data)} bytes, the cap is {cap}",
        "a larger target, or --scale 1/2",
    )


def write_verified(data: bytes, model: QuantizedModel, target: Path) -> np.ndarray:
    """Write `data`, read it back, check every symbol, render every frame, then rename; returns the frames.

    VerifyError, and no file at `target`, if what was read is not what was meant.
    """
    trial = temporary_name(target).with_suffix(".verify")
    try:
        write_atomically(trial, data)
        try:
            again = decode(trial.read_bytes())
        except BitstreamError as error:
            raise VerifyError("verify", f"the file just written does not decode: {error}", "try again; report it if it repeats") from error
        check_same(again, model)
        frames = again.render()
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
    return frames


def check_same(decoded: QuantizedModel, meant: QuantizedModel) -> None:
    """VerifyError unless every symbol and dequantised value is the same."""
    for index in range(len(meant.videos)):
        ours, theirs = meant.tensors(index), decoded.tensors(index)
        if ours.keys() != theirs.keys() or any(not np.array_equal(ours[name], theirs[name]) for name in ours):
            raise VerifyError("verify", "the decoded file differs from the encoder's model", "try again; report it if it repeats")

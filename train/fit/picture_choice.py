"""The choice of a picture's file among the candidates of rate control, and two candidates that no step of the fit makes.

Extra steps with a much larger rate weight can harm a picture more than they save. Under a cap, the candidates that exceed it are
therefore shortened by flat blocks too (see `train.fit.rdoq.fit_under_cap`), and the file with the highest PSNR is chosen. The other
candidate is the flat picture: the mean colour, which takes fewer than a hundred bytes and is exact for a picture of one colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from codec.evaluation import mean_psnr
from codec.model import QuantizedModel, QuantizedTensor
from codec.quantizer import quantize
from inr.pixels import CHANNELS, MAX_LEVEL
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.fitter import Fitter
from train.fit.rdoq import fit_under_cap

COLOUR_EXPONENT = -72  # of the mean colour's step size, 2 ** -9: less than half a level of 255
MOST_SHORTENED = 3  # candidates over a cap that are shortened
LITTLE = 96  # bytes; a file without a target need not be smaller than this


def best_picture(
    fitter: Fitter, setup: RateControlSetup, measured: Callable[[QuantizedModel], Candidate], best: Candidate, tried: Sequence[Candidate]
) -> Candidate:
    """The best of a picture's candidates for the target: `best`, those in `tried`, shortened ones and the flat picture.

    `measured` encodes a model and measures its file. The result can exceed the target's cap if no candidate keeps to it.
    """
    target, flat = setup.target, flat_picture(fitter, setup, measured)
    if target.target_bytes is None:
        return flat if flat is not None and flat_is_enough(setup, flat, best) else best
    cap = target.target_bytes

    def size(model: QuantizedModel) -> int:
        return len(fitter.encoded(model, setup.fingerprint)) - fitter.base_bytes

    found = [_with_psnr(candidate, setup) for candidate in (*tried, *([] if flat is None else [flat]))]
    fitting = [candidate for candidate in found if candidate.size <= cap]
    least = max((candidate.psnr or 0.0 for candidate in fitting), default=0.0)
    larger = sorted((candidate for candidate in found if candidate.size > cap), key=lambda candidate: -(candidate.psnr or 0.0))
    for candidate in larger[:MOST_SHORTENED]:
        if (candidate.psnr or 0.0) > least:
            shorter = fit_under_cap(fitter, candidate.model, size, cap)
            fitting += [] if shorter is None else [_with_psnr(measured(shorter), setup)]
    return max(fitting, key=lambda candidate: (candidate.psnr or 0.0, -candidate.size), default=best)


def flat_is_enough(setup: RateControlSetup, flat: Candidate, best: Candidate) -> bool:
    """Whether the candidate `flat` replaces `best` if no cap is given."""
    wanted = setup.target.target_psnr
    reached, of_best = (_with_psnr(candidate, setup).psnr or 0.0 for candidate in (flat, best))
    if wanted is not None:
        return reached >= wanted and (flat.size < best.size or of_best < wanted)
    return reached >= of_best and flat.size <= max(best.size, LITTLE)


def flat_picture(fitter: Fitter, setup: RateControlSetup, measured: Callable[[QuantizedModel], Candidate]) -> Candidate | None:
    """The candidate that shows the mean colour everywhere; None for a picture in a bundle or with a mask."""
    if fitter.base is not None or fitter.sources.video.shape[-1] != CHANNELS:
        return None
    mean = setup.video.frames.mean(axis=(0, 1, 2), dtype=np.float64) / MAX_LEVEL
    colour = QuantizedTensor(quantize(mean.astype(np.float32), COLOUR_EXPONENT), COLOUR_EXPONENT)
    return measured(fitter.joined({"paint.bias": colour}))


def _with_psnr(candidate: Candidate, setup: RateControlSetup) -> Candidate:
    """`candidate` with its PSNR, which is measured if it is not known."""
    if candidate.psnr is not None:
        return candidate
    return replace(candidate, psnr=mean_psnr(candidate.model.render_entry(-1), setup.video.frames))

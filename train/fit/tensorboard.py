"""The TensorBoard log of a fit: scalars, and pictures that compare a fitted frame with its original."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Shaped

from codec.coding import codings
from codec.comparison_image import comparison_image
from codec.model import QuantizedModel, QuantizedTensor
from inr.errors import StateWarning
from inr.layout import tensor_specs
from inr.tensor_spec import TensorSpec
from inr.video import Video
from train.fit.problem import Problem
from train.fit.progress import Progress

SCALAR_SECONDS, IMAGE_SECONDS = 2.0, 30.0  # least seconds between two writes


class Logged(Protocol):
    """A fit that a log can show: `train.fit.fitter.Fitter`, or `train.tree.fitter.TreeFit`."""

    problem: Problem

    @property
    def exponents(self) -> Shaped[np.ndarray, " n"]:
        """The exponents of step sizes, in eighths of an octave."""
        ...

    def model(self) -> QuantizedModel:
        """The quantised model of the state."""
        ...

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The video's own tensors by name, in a model that `model` made."""
        ...


class TensorBoardLog:
    """Writes scalars every SCALAR_SECONDS and a picture (original, fitted, difference) every IMAGE_SECONDS, into `folder`.

    If the disk is full, the log ends with a StateWarning, and the fit goes on.
    """

    def __init__(self, folder: Path, video: Video, fitter: Logged):
        from tensorboardX import SummaryWriter

        self._folder, self._failure, self._said = folder, "", False
        self._writer = cast(Any, SummaryWriter(str(folder / "tensorboard")))
        events = self._writer.file_writer.event_writer._ev_writer
        for name in ("write_event", "flush", "close"):
            setattr(events, name, self._guarded(getattr(events, name)))
        self._video, self._fitter, self._pictured = video, fitter, -IMAGE_SECONDS
        self._noted = -SCALAR_SECONDS

    def _guarded(self, write: Callable) -> Callable:
        """`write` without its errors. It runs in a thread of tensorboardX, which would end, and the fit would wait for it forever."""

        def guarded(*arguments: object) -> None:
            if self._failure:
                return
            try:
                write(*arguments)
            except OSError as error:
                self._failure = error.strerror or str(error)

        return guarded

    def _warn_of_failure(self) -> None:
        if self._failure and not self._said:
            self._said = True
            warnings.warn(StateWarning(f"the TensorBoard log in '{self._folder}' is incomplete: {self._failure}"), stacklevel=3)

    def __call__(self, progress: Progress) -> None:
        """Write the scalars and the picture of `progress` if they are due; the last step is always written."""
        self._warn_of_failure()
        last = progress.step == progress.steps
        if progress.seconds - self._noted < SCALAR_SECONDS and not last:
            return
        self._noted = progress.seconds
        scalars = {"psnr_rgb": progress.psnr, "estimated_bpp": progress.bpp, "rate_weight": float(np.exp(progress.state.log_rate_weight))}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, progress.step)
        self._writer.add_histogram("step_size_exponents", self._fitter.exponents, progress.step)
        if progress.seconds - self._pictured >= IMAGE_SECONDS or last:
            self._pictured = progress.seconds
            model = self._fitter.model()
            self._writer.add_image("original_fitted_difference", self._picture(model), progress.step, dataformats="HWC")
            problem = self._fitter.problem
            for part, bits in bits_by_part(tensor_specs(problem.spec, problem.video), self._fitter.own(model)).items():
                self._writer.add_scalar(f"bpp/{part}", bits / self._video.pixels, progress.step)

    def _picture(self, model: QuantizedModel) -> np.ndarray:
        """Three pictures of the middle frame side by side: the original, the frame decoded from `model`, and their difference."""
        middle = len(self._video) // 2
        return comparison_image(self._video.frames[middle], model.render_entry(-1, [middle])[0])

    def close(self) -> None:
        self._writer.close()
        self._warn_of_failure()


def started_log(folder: Path, video: Video, fitter: Logged) -> TensorBoardLog | None:
    """A log in `folder`; None if it cannot be begun, which a StateWarning tells."""
    try:
        return TensorBoardLog(folder, video, fitter)
    except OSError as error:
        warnings.warn(StateWarning(f"there is no TensorBoard log in '{folder}': {error.strerror or error}"), stacklevel=2)
        return None


def bits_by_part(specs: Sequence[TensorSpec], tensors: Mapping[str, QuantizedTensor]) -> dict[str, float]:
    """The bits of the tensors' symbols, added up for each part of the network, such as 'blocks' or 'canvas'."""
    parts: dict[str, float] = {}
    for name, coding in codings(specs, tensors).items():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0.0) + coding.bits
    return parts

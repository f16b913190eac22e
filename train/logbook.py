"""TensorBoard's view of a fit: scalars as it goes, and sample frames beside their source."""

from pathlib import Path

import numpy as np

from codec.sheet import side_by_side
from inr.video import Video
from train.fitting import Fitter, Progress

SCALAR_SECONDS, IMAGE_SECONDS = 2.0, 30.0


class Logbook:
    """Writes scalars at every call and original | fitted | difference frames now and then, under `folder`."""

    def __init__(self, folder: Path, video: Video, fitter: Fitter):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._video, self._fitter, self._pictured = video, fitter, -IMAGE_SECONDS
        self._noted = -SCALAR_SECONDS

    def __call__(self, progress: Progress) -> None:
        """Note `progress`, at most every SCALAR_SECONDS."""
        last = progress.step == progress.steps
        if progress.seconds - self._noted < SCALAR_SECONDS and not last:
            return
        self._noted = progress.seconds
        scalars = {"psnr_rgb": progress.psnr, "estimated_bpp": progress.bpp, "rate_weight": float(np.exp(progress.state.log_rate_weight))}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, progress.step)
        self._writer.add_histogram("step_exponents", np.asarray(progress.state.parameters.exponents), progress.step)
        if progress.seconds - self._pictured >= IMAGE_SECONDS or last:
            self._pictured = progress.seconds
            self._writer.add_image("original_fitted_difference", self._picture(), progress.step, dataformats="HWC")

    def _picture(self) -> np.ndarray:
        """The middle frame, as the file would decode now, its source and their difference side by side."""
        middle = len(self._video) // 2
        source, fitted = self._video.frames[middle], self._fitter.model().render_entry(-1, [middle])[0]
        return side_by_side(source, fitted)

    def close(self) -> None:
        self._writer.close()

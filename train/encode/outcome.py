"""The outcome of an encode: the file's measures, and the fit behind them."""

from dataclasses import dataclass
from pathlib import Path

from codec.evaluation import Report
from codec.model import QuantizedModel
from train.fit.problem import Problem
from train.fit.target import RateTarget


@dataclass(frozen=True)
class Encoded:
    """The outcome of an encode.

    `report` holds the measures of the file, `problem` the fitted problem, and `model` the content of the file. `target` is resolved for
    this video. `estimated_bits` are the estimated bits of the file. `seconds` run from the start to the renamed file,
    `seconds_to_first_step` to the end of the first step. `step_seconds` is the mean duration of a step. Of steps that ran side by side with
    others, durations are the file's share. `interrupted` tells whether Ctrl-C ended the fit early.
    """

    output: Path
    report: Report
    problem: Problem
    target: RateTarget
    estimated_bits: float
    steps: int
    seconds: float
    seconds_to_first_step: float
    step_seconds: float
    interrupted: bool
    model: QuantizedModel

    @property
    def target_hit(self) -> bool:
        """Whether the file has at most the bytes of its cap, or at least the target's PSNR."""
        return self.target.met_by(self.report.bytes, lambda: self.report.psnr_rgb)

    @property
    def cap_used(self) -> float | None:
        """The share of the cap that the file uses; None if the target is not a cap."""
        return None if self.target.target_bytes is None else self.report.bytes / self.target.target_bytes

    def fields(self) -> dict[str, object]:
        """The fields that a command prints as its result, and that a batch keeps; numbers, texts and booleans."""
        video = self.problem.video
        return {
            "output": str(self.output),
            **self.report.fields(),
            "width": video.width,
            "height": video.height,
            "frames": video.frames,
            "fps": float(video.fps),
            "seconds": self.seconds,
            "steps": self.steps,
            "estimated_bits": self.estimated_bits,
            "seconds_to_first_step": self.seconds_to_first_step,
            "step_seconds": self.step_seconds,
            "interrupted": self.interrupted,
            "target_hit": self.target_hit,
            "cap_used": self.cap_used,
        }

    def __repr__(self) -> str:
        report = self.report
        return f"<Encoded '{self.output.name}': {report.bytes} bytes, {report.bpp:.4f} bpp, {report.psnr_rgb:.2f} dB, {self.steps} steps>"

    def _repr_html_(self) -> str:
        """The middle frame, the measures, and a plot of PSNR over frames, as HTML that needs no running kernel."""
        from codec.card import card, picture, sparkline

        report, video = self.report, self.problem.video
        lines = [
            f"<b>{self.output.name}</b>",
            f"{video.width}x{video.height}, {video.frames} frames: {report.bytes} bytes, {report.bpp:.4f} bpp",
            f"PSNR {report.psnr_rgb:.2f} dB, decoded file, R'G'B'" + (", stopped early" if self.interrupted else ""),
            sparkline(report.frame_psnr_rgb, "dB"),
            f"{self.steps} steps in {self.seconds:.0f} s",
        ]
        return card(picture(self.model.render_entry(-1, [self.model.videos[-1].spec.frames // 2])[0]), lines)

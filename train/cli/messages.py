"""The result of an encode as text and as fields of a JSON line."""

from train.encode.outcome import Encoded
from train.fit.target import LEAST_USED


def result_fields(encoded: Encoded, output: str) -> dict[str, object]:
    """The fields of the result line; `output` is the path of the file."""
    report, video = encoded.report, encoded.problem.video
    return {
        "output": output,
        **report.fields(),
        "width": video.width,
        "height": video.height,
        "frames": video.frames,
        "fps": float(video.fps),
        "seconds": encoded.seconds,
        "steps": encoded.steps,
        "estimated_bits": encoded.estimated_bits,
        "seconds_to_first_step": encoded.seconds_to_first_step,
        "step_seconds": encoded.step_seconds,
        "interrupted": encoded.interrupted,
        "target_hit": encoded.target_hit,
        "cap_used": encoded.cap_used,
    }


def target_note(encoded: Encoded) -> str:
    """A line about a missed target, or about a cap that the file uses only in part; empty in all other cases."""
    if encoded.target.target_psnr is not None and not encoded.target_hit:
        return (
            f"target missed: {encoded.report.psnr_rgb:.2f} dB instead of {encoded.target.target_psnr:.2f}; the best file was kept. "
            "Try --preset slow, a longer --time-budget, or --target-size"
        )
    if encoded.cap_used is not None and encoded.cap_used < LEAST_USED:
        return f"the file uses {100 * encoded.cap_used:.1f} % of its cap; a longer fit may use more: --preset slow"
    return ""


def summary(encoded: Encoded, output: str) -> str:
    """The result of an encode as a line of text; `output` is the path of the file."""
    report = encoded.report
    similarity = "" if report.ms_ssim_rgb is None else f", MS-SSIM {report.ms_ssim_rgb:.4f}"
    return (
        f"{output}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB{similarity} (RGB, "
        f"decoded file), {encoded.steps} steps in {encoded.seconds:.0f} s"
    )

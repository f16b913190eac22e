"""The result of an encode as lines of text."""

from train.encode.outcome import Encoded
from train.fit.target import LEAST_USED


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

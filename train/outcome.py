"""What an encode came to, for a person and for a program."""

from train.encoding import Encoded


def result_fields(encoded: Encoded, target: str) -> dict[str, object]:
    """The result line's keys."""
    report, video = encoded.report, encoded.problem.video
    return {
        "output": target,
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
    }


def missed(encoded: Encoded) -> str:
    """How far a fit fell short of its target, and what to try."""
    config, report = encoded.problem.config, encoded.report
    if config.target_psnr is None:
        return f"the file uses less than its cap: {report.bytes} bytes; a longer fit may use more: --preset slow"
    return (
        f"target missed: {report.psnr_rgb:.2f} dB instead of {config.target_psnr:.2f}; the best file was kept. "
        "Try --preset slow, a longer --time-budget, or --target-size"
    )


def summary(encoded: Encoded, target: str) -> str:
    """The result for a person."""
    report = encoded.report
    similarity = "" if report.ms_ssim_rgb is None else f", MS-SSIM {report.ms_ssim_rgb:.4f}"
    return (
        f"{target}   {report.bytes} bytes, {report.bpp:.4f} bpp, PSNR {report.psnr_rgb:.2f} dB{similarity} (RGB, "
        f"decoded file), {encoded.steps} steps in {encoded.seconds:.0f} s"
    )

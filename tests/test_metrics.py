"""codec/metrics.py and codec/evaluation.py: distortion and reports."""

import numpy as np
import pytest

from codec.evaluation import combine_reports, compare, mean_psnr
from codec.metrics import ms_ssim, mse, psnr, window_size
from inr.errors import InputError


def noisy(size: tuple[int, ...], amount: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture, and the same with noise."""
    generator = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(generator.normal(size=size), axis=0), axis=1)
    clean = np.clip(128 + 100 * smooth / np.abs(smooth).max(), 0, 255).astype(np.uint8)
    return clean, np.clip(clean + generator.normal(0, amount, size), 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr(mse(a, a + 10)) == pytest.approx(20 * np.log10(25.5), rel=1e-6)
    assert psnr(mse(a, a)) == 100
    assert mean_psnr(np.stack([a, a + 10]), np.stack([a, a])) == pytest.approx((100 + 20 * np.log10(25.5)) / 2)


def test_ms_ssim_agrees_with_a_plain_version_in_double_precision():
    from scipy.signal import convolve2d

    a, b = noisy((180, 200, 3), 12)
    taps = np.exp(-0.5 * (np.arange(11) - 5) ** 2 / 1.5**2)
    window = np.outer(taps / taps.sum(), taps / taps.sum())
    total = []
    for channel in range(3):
        x, y, value = a[..., channel].astype(float), b[..., channel].astype(float), 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            blur = [convolve2d(z, window, "valid") for z in (x, y, x * x, y * y, x * y)]
            mx, my, xx, yy, xy = blur[0], blur[1], blur[2] - blur[0] ** 2, blur[3] - blur[1] ** 2, blur[4] - blur[0] * blur[1]
            contrast = (2 * xy + 58.5225) / (xx + yy + 58.5225)
            full = (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025) * contrast
            value *= (full if scale == 4 else contrast).mean() ** weight
            x, y = (np.pad(z, [(s % 2, s % 2) for s in z.shape])[: z.shape[0] // 2 * 2 + 2 * (z.shape[0] % 2)] for z in (x, y))
            x, y = (
                z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2].reshape(z.shape[0] // 2, 2, z.shape[1] // 2, 2).mean((1, 3)) for z in (x, y)
            )
        total.append(value)
    assert ms_ssim(a, b) == pytest.approx(np.mean(total), abs=2e-5)


@pytest.mark.parametrize(("side", "window"), [(1, None), (32, None), (33, 3), (65, 5), (160, 9), (161, 11), (4000, 11)])
def test_windows_shrink_with_the_frame(side: int, window: int | None):
    assert window_size(side, 5000) == window
    assert window_size(5000, side) == window


def test_ms_ssim_of_small_and_of_equal_frames():
    a, b = noisy((40, 50, 3), 20)
    assert ms_ssim(a, a) == pytest.approx(1)
    assert 0 < ms_ssim(a, b) < 1
    assert ms_ssim(a[:20], b[:20]) is None


def test_a_report_counts_the_whole_file():
    a, b = noisy((40, 50, 3), 20)
    frames, decoded = np.stack([a, a]), np.stack([a, b])
    report = compare(decoded, frames, 500)
    assert report.bpp == 8 * 500 / (2 * 40 * 50)
    assert report.frame_psnr_rgb[0] == 100
    assert report.psnr_rgb == pytest.approx(np.mean(report.frame_psnr_rgb))
    assert report.psnr_rgb_of_mean_mse == pytest.approx(report.frame_psnr_rgb[1] + 10 * np.log10(2))


def test_reports_of_segments_combine_to_that_of_the_whole():
    pairs = [noisy((40, 50, 3), 5 * amount, seed=amount) for amount in (1, 2, 4)]
    reference, decoded = (np.stack(side) for side in zip(*pairs, strict=True))
    whole = compare(decoded, reference, 700)
    parts = [compare(decoded[start:end], reference[start:end], 0) for start, end in ((0, 2), (2, 3))]
    together = combine_reports(parts, 700, reference.size // 3)
    assert (together.bytes, together.bpp, together.frame_psnr_rgb) == (whole.bytes, whole.bpp, whole.frame_psnr_rgb)
    for measure in ("psnr_rgb", "psnr_rgb_of_mean_mse", "ms_ssim_rgb"):
        assert getattr(together, measure) == pytest.approx(getattr(whole, measure))


def test_frames_must_match_one_to_one():
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    with pytest.raises(InputError, match="2 frames against 3"):
        compare(frames[:2], frames, 1)
    with pytest.raises(InputError, match="4x2 against 4x4"):
        compare(frames[:, :2], frames, 1)

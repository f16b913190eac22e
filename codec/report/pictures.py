"""Writes a comparison as a sheet of frames, or as a video that shows all files side by side."""

from dataclasses import replace

import numpy as np

from codec.comparison_image import comparison_image
from codec.report.measuring import Comparison
from inr.video import Video
from inr.writing import write_video

ROWS = 3  # the number of frames of each file on a sheet: those with lowest, median and highest PSNR


def sheet(comparison: Comparison, target: str) -> None:
    """Write a PNG with ROWS rows for each file, from lowest to highest PSNR. A row shows source, decoded frame and difference."""
    rows = []
    for file in comparison.compared_files:
        order = np.argsort(file.report.frame_psnr_rgb)
        for index in dict.fromkeys(int(order[k]) for k in np.linspace(0, len(order) - 1, ROWS).round().astype(int)):
            rows.append(comparison_image(comparison.source.frames[index], file.frames[index]))
    write_video(Video(np.concatenate(rows)[None]), target)


def side_video(comparison: Comparison, target: str) -> None:
    """Write a video that shows the source and then every file, from left to right."""
    source = comparison.source
    frames = np.concatenate([source.frames, *(file.frames for file in comparison.compared_files)], axis=2)
    write_video(replace(source, frames=frames), target)

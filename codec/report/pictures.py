"""A comparison as a sheet of frames, and as a video of all files side by side."""

import numpy as np

from codec.comparison_image import comparison_image
from codec.report.measuring import Comparison
from inr.video import Video
from inr.writing import write_video

ROWS = 3  # frames of each file on a sheet: lowest, median and highest PSNR


def sheet(comparison: Comparison, target: str) -> None:
    """Write a sheet with ROWS rows for each file, from its worst to its best frame: source, decoded frame, difference."""
    rows = []
    for file in comparison.compared_files:
        order = np.argsort(file.report.frame_psnr_rgb)
        for index in dict.fromkeys(int(order[k]) for k in np.linspace(0, len(order) - 1, ROWS).round().astype(int)):
            rows.append(comparison_image(comparison.source.frames[index], file.frames[index]))
    write_video(Video(np.concatenate(rows)[None]), target)


def side_video(comparison: Comparison, target: str) -> None:
    """Write a video with the source and every file from left to right."""
    source = comparison.source
    frames = np.concatenate([source.frames, *(file.frames for file in comparison.compared_files)], axis=2)
    write_video(Video(frames, source.fps, source.colour, source.name), target)

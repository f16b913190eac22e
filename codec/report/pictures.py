"""A comparison as a sheet of frames, and as a video of all side by side."""

import numpy as np

from codec.comparison_image import comparison_image
from codec.report.measuring import Comparison
from inr.video import Video
from inr.writing import write_video

ROWS = 3  # frames of a sheet: the worst, one of the middle, the best


def sheet(comparison: Comparison, target: str) -> None:
    """For each candidate ROWS frames, from its worst to its best: source, decoded, difference."""
    rows = []
    for candidate in comparison.compared_files:
        order = np.argsort(candidate.report.frame_psnr_rgb)
        for at in dict.fromkeys(int(order[k]) for k in np.linspace(0, len(order) - 1, ROWS).round().astype(int)):
            rows.append(comparison_image(comparison.source.frames[at], candidate.frames[at]))
    write_video(Video(np.concatenate(rows)[None]), target)


def side_video(comparison: Comparison, target: str) -> None:
    """The source and every candidate from left to right, frame by frame."""
    source = comparison.source
    beside = np.concatenate([source.frames, *(candidate.frames for candidate in comparison.compared_files)], axis=2)
    write_video(Video(beside, source.fps, source.colour, source.name), target)

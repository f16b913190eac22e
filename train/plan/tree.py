"""The plan of a tree of frames: its spec, and the config of its fit."""

from dataclasses import replace

import numpy as np

from inr.frame_tree import frame_tree
from inr.pixels import Frames
from inr.spec import BandContextSpec, FrameTree, NetworkSpec, VideoSpec
from inr.wavelet import analysis
from train.fit.config import FitConfig
from train.plan.options import Preset
from train.tree.fitter import share_of
from train.tree.frame_fit import TO_STEP
from train.tree.transforms import source_planes

DISTANCE = 8  # frames between two key frames
SAMPLE_CONTEXTS, MOTION_CONTEXTS = BandContextSpec(8, 12, 1), BandContextSpec(4, 10, 1)  # the sizes of the default context models
UPDATES = {"fast": 8, "medium": 24, "slow": 120}  # of an ordinary frame, by preset
TREE_WEIGHT, TREE_BPP, TREE_POWER = 4e-3, 0.12, 1.3  # the rate weight at a rate, on ordinary content, and the power by which it falls
SAMPLED, NOTICEABLE = 8, 0.08  # frames that tell whether chroma has details; the error of smooth chroma over the expected error
WEIGHT_FOR_ERROR = 3.2  # the rate weight divided by the mean square error that it leads to, on ordinary content


def tree_spec(full_chroma: bool = False) -> NetworkSpec:
    """The spec of a tree; `full_chroma` as in `FrameTree`."""
    return NetworkSpec(FrameTree(DISTANCE, full_chroma, SAMPLE_CONTEXTS, MOTION_CONTEXTS, keeps_means=True), 1, (), head_kernel=1)


def needs_full_chroma(frames: Frames, rate_weight: float) -> bool:
    """Whether details of the finest octave of Cb and Cr matter at a rate weight.

    They do if the error would grow noticeably without those that are larger than a step size, as smaller ones would become zero anyway.
    """
    expected, step, lost = rate_weight / WEIGHT_FOR_ERROR, (rate_weight / TO_STEP) ** 0.5, []
    for frame in frames[np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED)).astype(int)]:
        planes = np.moveaxis(source_planes(frame), -1, 0)
        whole = np.pad(planes, ((0, 0), (0, -frame.shape[0] % 2), (0, -frame.shape[1] % 2)), mode="edge")
        details = analysis(whole, 1)[1][0][1:]
        lost.append(np.square(details[np.abs(details) > step]).sum() / planes[0].size)
    return float(np.mean(lost)) > NOTICEABLE * expected


def tree_config(config: FitConfig, video: VideoSpec, bpp: float, preset: Preset, psnr: float | None) -> FitConfig:
    """`config` for the fit of a tree of `video` at about `bpp` bits per pixel, or with a target of `psnr` decibels.

    `steps` are the updates of the last pass over all frames.
    """
    steps = UPDATES[preset.name] * sum(map(share_of, frame_tree(video.frames, DISTANCE))) if preset.name in UPDATES else preset.steps
    weight = TREE_WEIGHT * (bpp / TREE_BPP) ** -TREE_POWER if psnr is None else WEIGHT_FOR_ERROR * 10 ** (-psnr / 10)
    return replace(config, steps=steps, rate_weight=weight, target_psnr=psnr)

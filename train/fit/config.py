"""The settings of a fit. None of them is transmitted; the transmitted description of a network is a spec."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitConfig:
    """Settings of one fit. Everything that varies over time is a function of progress, which runs from 0 to 1 over `steps`.

    The loss is MSE + weight * bpp, with the MSE of samples in [0, 1]. The weight starts at `rate_weight`. With `target_bpp` a
    controller moves it until the whole file takes that many bits per pixel; with `target_psnr` (decibels) until the picture is that
    good; with neither it stays.
    """

    steps: int
    batch: int = 2  # frames of a step
    learning_rate: float = 24e-3  # of weights, before the schedule
    lr_decay_after_steps: int = 10_000  # a longer fit has a lower learning rate: see `train.fit.schedule.lr_decay`
    exponent_learning_rate: float = 16e-2  # of step sizes' exponents, in eighths of an octave
    warmup: float = 0.05  # share of progress over which the learning rates rise
    final_lr_scale: float = 0.02  # the cosine's last value: the controller must keep its grip to the end
    anneal_from: float = 0.74  # progress at which noise starts to give way to soft rounding
    hard_from: float = 0.8  # progress at which rounding becomes hard
    temperature: float = 0.1  # of soft rounding at the end of its phase
    initial_bits: float = 4.0  # first step sizes: a tensor's standard deviation spans 2 ** (initial_bits - 2) of them
    rate_weight: float = 3e-3
    target_bpp: float | None = None
    target_psnr: float | None = None
    gain_to_come: float = 0.8  # decibels that a fit still gains while the learning rate falls from its peak to its end
    controller_gain: float = 100.0  # change of the weight's logarithm over a fit, for each unit of logarithmic error
    controller_from: float = 0.1  # progress at which the controller starts
    embedder_until: float = 0.0  # share of progress during which an embedder makes the embeddings
    num_sharing_videos: int = 1  # videos that share the weight layer; each pays its part of that layer's bits
    corrections: bool = True  # whether a further video's layer may change the weights it keeps, or only claim free ones
    seed: int = 0

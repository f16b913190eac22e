"""The settings of a fit. A file does not contain them; it contains a network spec."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitConfig:
    """The settings of one fit. Schedules are functions of progress, which runs from 0 to 1 over `steps`.

    The loss is MSE + rate weight * bpp, with the MSE of samples in [0, 1]. The rate weight starts at `rate_weight`. With `target_bpp`, a
    controller changes it until the expected size of the whole file is the target; with `target_psnr`, until the PSNR is the target. With
    neither, it does not change.
    """

    steps: int
    batch: int = 2  # frames in the batch of a step
    learning_rate: float = 24e-3  # of the weights; the schedule multiplies it
    lr_decay_after_steps: int = 10_000  # a fit of more steps has a lower learning rate: see `train.fit.schedule.lr_decay`
    exponent_learning_rate: float = 16e-2  # of the step sizes' exponents, which are in eighths of an octave
    warmup: float = 0.05  # progress up to which the learning rates rise
    final_lr_scale: float = 0.02  # factor of the learning rates at the end; it is above 0, so that the controller has an effect to the end
    anneal_from: float = 0.74  # progress at which soft rounding starts to replace noise
    hard_from: float = 0.8  # progress from which weights are rounded exactly as in the file
    temperature: float = 0.1  # of soft rounding at the progress `hard_from`
    initial_bits: float = 4.0  # of the first step sizes: a tensor's standard deviation is 2 ** (initial_bits - 2) step sizes
    rate_weight: float = 3e-3  # initial weight of bpp in the loss
    target_bpp: float | None = None  # bits per pixel of the whole file
    target_psnr: float | None = None  # decibels
    gain_to_come: float = 0.8  # decibels of PSNR that a fit gains at equal bits while the learning rate falls from its peak
    controller_gain: float = 100.0  # change of the rate weight's natural logarithm over a fit, at a constant error of 1
    controller_from: float = 0.1  # progress at which the controller starts
    excess_bits: float = 0.0  # bits at the start over those at the end of a fit with a constant rate weight, as a share of the latter
    embedder_until: float = 0.0  # progress up to which an embedder makes the embeddings
    num_sharing_videos: int = 1  # number N of videos that share the weight layer; the loss counts 1 / N of its bits
    corrections: bool = True  # whether a further video's layer may change weights that its base layers claim
    weights_from: float = 0.0  # progress from which weights have noise and their bits count in the loss
    grid_learning_rate: float = 0.2  # of grids that are coded with contexts, in symbols
    grid_temperatures: tuple[float, float] = (0.5, 0.12)  # of these grids' soft rounding, at the start and at the progress `hard_from`
    grid_noise: tuple[float, float] = (0.22, 0.15)  # standard deviation of these grids' noise in symbols, at the same times
    context_exponent: int = -40  # of the step sizes of a context model's weights; a multiple of 8
    seed: int = 0

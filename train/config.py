"""How a network is fitted. None of this is transmitted; what is transmitted is a spec."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitConfig:
    """Settings of one fit; everything that varies over time varies with progress, from 0 to 1 over `steps`.

    The loss is MSE + weight * bpp, MSE on [0, 1] samples. `rate_weight` starts the weight; with `target_bpp` a
    controller moves it until the whole file takes that many bits per pixel, with `target_psnr` (decibels) until
    the picture is that good; with neither it stays.
    """

    steps: int
    batch: int = 2  # frames a step
    learning_rate: float = 24e-3  # of weights, before the schedule
    long: int = 10_000  # steps from which on that falls with their number
    exponent_learning_rate: float = 16e-2  # of step exponents, in eighths of an octave
    warmup: float = 0.05  # share of progress over which the learning rates rise
    floor: float = 0.02  # what the cosine falls to, so that the controller keeps its grip to the end
    anneal_from: float = 0.74  # where noise begins to give way to soft rounding
    hard_from: float = 0.8  # where rounding becomes hard
    temperature: float = 0.1  # of soft rounding at the end of its phase
    initial_bits: float = 4.0  # first steps: a tensor's deviation spans 2 ** (initial_bits - 2) of them
    rate_weight: float = 3e-3
    target_bpp: float | None = None
    target_psnr: float | None = None
    gain_to_come: float = 0.8  # decibels that a fit still gains from full learning rate to none
    controller_gain: float = 100.0  # change of the log weight over a fit, per unit of log rate error
    controller_from: float = 0.1
    uniform_bits: int = 0  # if above 0, steps are not learned: each spans the largest weight by so many bits
    embedder_until: float = 0.0  # share of progress during which embeddings come from an embedder
    sharing: int = 1  # videos that share the backbone, of whose bits each counts its part
    corrections: bool = True  # whether a further video's layer may change what it keeps, or claims free weights only
    seed: int = 0

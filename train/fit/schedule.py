"""The schedules of a fit: quantities that are functions of progress, which runs from 0 to 1."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from train.fit.config import FitConfig

LR_DECAY_POWER = 0.75  # the learning rate falls with this power of the number of steps (benchmarks/EXPERIMENTS.md)
BITS_SETTLE, SETTLED_BITS = 0.75, 0.965  # progress at which the bits have fallen most, and their share of the last bits then
Scalar = Float[Array, ""]


def learning_rate(config: FitConfig, progress: Scalar) -> Scalar:
    """The factor of every learning rate at `progress`: a linear warm-up to 1, then a cosine down to `config.final_lr_scale`."""
    after = (progress - config.warmup) / (1 - config.warmup)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(after, 0, 1)))
    rising = progress / max(config.warmup, 1e-9) + 1e-3
    return jnp.minimum(rising, config.final_lr_scale + (1 - config.final_lr_scale) * cosine)


def lr_decay(config: FitConfig) -> float:
    """A constant factor of the weights' learning rate: below 1 for a fit of more than `config.lr_decay_after_steps` steps."""
    return min(1.0, (config.lr_decay_after_steps / config.steps) ** LR_DECAY_POWER)


def expected_bits(config: FitConfig, progress: float) -> float:
    """The bits at `progress` in a fit with a constant rate weight, as a share of the bits at its end; 1 if `config.excess_bits` is 0.

    Grids that are coded with contexts first take many more bits. These fall until the progress BITS_SETTLE, and grow a little where soft
    rounding ends.
    """
    if config.excess_bits == 0:
        return 1.0
    return SETTLED_BITS + config.excess_bits * max(1 - progress / BITS_SETTLE, 0) ** 2


class Rounding(NamedTuple):
    """The kind of rounding at a point of a fit.

    `softness` is the share of noise: it falls from 1 to 0 while soft rounding replaces the noise. `temperature` is that of soft rounding.
    `hard` tells whether weights are rounded exactly as in the file. `grid_temperature` and `grid_noise` are those of grids that are coded
    with contexts. Until `weights` is true, weights have no noise, and the loss does not count their bits.
    """

    softness: Scalar
    temperature: Scalar
    hard: Bool[Array, ""]
    grid_temperature: Scalar
    grid_noise: Scalar
    weights: Bool[Array, ""]


def rounding(config: FitConfig, progress: Scalar) -> Rounding:
    """The kind of rounding at `progress`."""
    annealed = (progress - config.anneal_from) / max(config.hard_from - config.anneal_from, 1e-9)
    annealed = jnp.clip(annealed, 0, 1)
    share = jnp.clip(progress / config.hard_from, 0, 1)
    temperature, noise = (first + (last - first) * share for first, last in (config.grid_temperatures, config.grid_noise))
    return Rounding(
        1 - annealed,
        1 + (config.temperature - 1) * annealed,
        progress >= config.hard_from,
        temperature,
        noise,
        progress >= config.weights_from,
    )

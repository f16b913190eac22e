"""What varies over a fit, as functions of progress, which runs from 0 to 1."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from train.config import FitConfig

DESCENT = 0.75  # power of their number by which learning rates fall once steps are many
Scalar = Float[Array, ""]


def learning_rate(config: FitConfig, progress: Scalar) -> Scalar:
    """A factor for every learning rate: linear warm-up, then a cosine down to `config.floor`."""
    after = (progress - config.warmup) / (1 - config.warmup)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(after, 0, 1)))
    rising = progress / max(config.warmup, 1e-9) + 1e-3
    return jnp.minimum(rising, config.floor + (1 - config.floor) * cosine)


def descent(config: FitConfig) -> float:
    """A factor of the weights' learning rate: over many steps, one that suits few leads nowhere (benchmarks/RESULTS.md)."""
    return min(1.0, (config.long / config.steps) ** DESCENT)


def rounding(config: FitConfig, progress: Scalar) -> tuple[Scalar, Scalar, Bool[Array, ""]]:
    """How much noise, at what temperature of soft rounding, and whether rounding is hard."""
    annealed = (progress - config.anneal_from) / max(config.hard_from - config.anneal_from, 1e-9)
    annealed = jnp.clip(annealed, 0, 1)
    return 1 - annealed, 1 + (config.temperature - 1) * annealed, progress >= config.hard_from

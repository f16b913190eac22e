"""Muon for the kernels of a fit, one of the changes that benchmarks/trials.py fits."""

import jax
import numpy as np
import optax

from train.fit.packing import PackedLayout


def muon_on_kernels(layout: PackedLayout) -> optax.GradientTransformation:
    """Muon (optax.contrib) on kernels as matrices of inputs by outputs, Adam on everything else."""
    shapes = {tensor.name: tensor.shape for tensor in layout.tensors}
    matrices = {
        name for name, shape in shapes.items() if len(shape) == 4 and name.endswith("kernel") and min(np.prod(shape[:-1]), shape[-1]) > 1
    }
    muon, adam = (
        optax.contrib.scale_by_muon(
            weight_dimension_numbers=lambda tree: jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), tree)
        ),
        optax.scale_by_adam(b1=0.9, b2=0.99),
    )

    def kernels(rows):
        return {name: t.reshape(-1, t.shape[-1]) for name, t in layout.unpack(rows).items() if name in matrices}

    def init(parameters):
        return muon.init(kernels(parameters.weights)), adam.init(parameters)

    def update(gradient, state, parameters=None):
        first, moments = muon.update(kernels(gradient.weights), state[0])
        second, others = adam.update(gradient, state[1])
        both = layout.unpack(second.weights)
        # Orthogonal updates scaled to Adam's usual size: a root mean square of 0.2 to 0.4.
        both |= {name: 0.3 * max(value.shape) ** 0.5 * value.reshape(shapes[name]) for name, value in first.items()}
        return second._replace(weights=layout.pack(both)), (moments, others)

    return optax.GradientTransformation(init, update)

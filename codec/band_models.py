"""The context models of wavelet bands: a file stores the differences of their weights from default weights, which are part of the format.

The default weights were trained on several videos (`benchmarks/train_contexts.py`). A short file therefore need not pay for a model.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Int32

from codec.context_model import MAX_BIAS_EXPONENT, MAX_WEIGHT_EXPONENT, MIN_EXPONENT, WEIGHT_BITS, ContextModel
from codec.model import QuantizedTensor
from inr.tensor_spec import BandsOfFrames

DEFAULTS = "band_models.json"  # a file of this package: for each model, its tensors by name as integers in units of 2 ** -WEIGHT_BITS

Weights = dict[str, Int32[np.ndarray, "..."]]


@cache
def default_weights(motion: bool) -> Weights:
    """The default weights of the model for samples or for `motion`, by tensor name, in units of 2 ** -WEIGHT_BITS."""
    stored = json.loads((files("codec") / DEFAULTS).read_text())
    return {name: np.array(values, np.int32) for name, values in stored["motion" if motion else "samples"].items()}


def defaults_of(motion: bool, shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    """The default weights of a model whose tensors have `shapes`: zeros if the model has another size than the default one."""
    known = default_weights(motion)
    same = {name: values.shape for name, values in known.items()} == dict(shapes)
    return known if same else {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}


def band_model(bands: BandsOfFrames, tensors: Mapping[str, QuantizedTensor]) -> ContextModel:
    """The context model whose differences from the default weights are `tensors`; the names begin with `bands.model`.

    BitstreamError as by `ContextModel.of`.
    """
    own = {name.removeprefix(bands.model): tensor for name, tensor in tensors.items() if name.startswith(bands.model)}
    defaults = defaults_of(bands.motion, {name: tensor.symbols.shape for name, tensor in own.items()})
    return ContextModel.of({name: _sum(name, tensor, defaults[name]) for name, tensor in own.items()})


def _sum(name: str, tensor: QuantizedTensor, default: Int32[np.ndarray, "..."]) -> QuantizedTensor:
    """The sum in units of 2 ** -WEIGHT_BITS. A tensor with an illegal step size is returned as it is: `ContextModel.of` rejects it."""
    if not tensor.symbols.any():
        return QuantizedTensor(default, MIN_EXPONENT)
    highest = MAX_BIAS_EXPONENT if name.endswith(".bias") else MAX_WEIGHT_EXPONENT
    if tensor.exponent % 8 or not MIN_EXPONENT <= tensor.exponent <= highest:
        return tensor
    shifted = tensor.symbols.astype(np.int64) << (tensor.exponent // 8 + WEIGHT_BITS)
    return QuantizedTensor((shifted + default).astype(np.int32), MIN_EXPONENT)

"""Trains context models for the tensors of a finished model, and keeps those that make its file smaller.

A canvas, its flows and embeddings are fitted under a simpler estimate of their bits: one frequency table for each tensor. Afterwards, a
small context model for each large tensor learns to predict its symbols from those that are decoded before (see `codec.frame_contexts`). No
symbol changes, so the decoded frames stay the same. Under a cap, rate control therefore gets a larger one, which the context models are
expected to bring below the cap; if they do not, it gets another one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from codec.bitstream import BitstreamError
from codec.coding import best_coding, codings
from codec.context_model import ACTIVATION_BITS
from codec.frame_contexts import changes_of, inputs_of, known_planes, model_shapes, planes_of
from codec.model import QuantizedModel, QuantizedTensor
from codec.quantizer import MAX_SYMBOL, quantize
from inr.layout import tensor_specs
from inr.tensor_spec import GridContexts, Owner, TensorSpec, Zeros
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.context_rate import Model, bounded, laplace_bits
from train.fit.fitter import RETARGETED_FROM, Fitter
from train.fit.loop import Fitted
from train.fit.rate_control import RateControl, control_rate
from train.plan.encode_plan import CAP_AIM as FIT_AIM
from train.plan.encode_plan import SMALL_FILE, EncodePlan

HIDDEN = 1  # hidden layers of a context model
LEAST_BITS = 1600.0  # of a tensor for which a context model may pay
STEPS, BATCH, LEARNING_RATE = 400, 4096, 1e-2
FIRST_DEVIATION, FIRST_LOG_SCALE = 0.05, -1.0  # of the weights before the first step; base-2 logarithm of the scale
EXPONENTS = (-24, -32, -40)  # of the step sizes of a model's tensors, of which the best is kept
ROUNDS, CAP_AIM = 3, 0.995  # most caps that rate control gets; the share of the cap at which they aim

Weights = dict[str, Float[Array, "..."]]


def control_rate_with_contexts(
    fitter: Fitter, fitted: Fitted, setup: RateControlSetup, say: Callable[[str], None] = lambda line: None
) -> Candidate:
    """As `control_rate`; but tensors of the video get context models of their own where these make the file smaller."""
    if not has_tensors(fitter):
        return control_rate(fitter, fitted, setup, say)

    def coded(found: Candidate) -> Candidate:
        smaller = RateControl(fitter, setup).measured_symbols(with_own_contexts(found.model))
        if smaller.size >= found.size:  # the bits of a tensor do not tell the padding of its stream
            return found
        say(f"context models: {smaller.size} bytes")
        return smaller

    cap = setup.target.target_bytes
    if cap is None:
        return coded(control_rate(fitter, fitted, setup, say))
    share, best = measured_share(fitter, fitted.model), None
    for _ in range(ROUNDS):
        limit = max(cap, int(cap * CAP_AIM / share))
        found = control_rate(fitter, fitted, replace(setup, target=replace(setup.target, target_bytes=limit)), say)
        smaller = coded(found)
        if smaller.size <= cap and (best is None or smaller.size > best.size):
            best = smaller
        if best is not None and (best.hit or setup.over):
            return best
        fitted, share = replace(fitted, model=found.model), smaller.size / found.size
    return best or coded(control_rate(fitter, fitted, setup, say))


def follow_share(fitter: Fitter, plan: EncodePlan) -> Callable[[], None]:
    """A function that is called after each chunk of a fit, and makes a fit under a cap aim at what context models will leave of its bytes.

    The share is measured once, when the target can still change (RETARGETED_FROM). The run's folder keeps it, so that a resumed run is the
    same.
    """
    cap = plan.target.target_bytes
    if cap is None or cap < SMALL_FILE or not has_tensors(fitter):
        return lambda: None

    def aim(share: float) -> None:
        fitter.retarget(FIT_AIM * 8 * cap / share / plan.problem.video.pixels)

    if (known := plan.workdir.facts.get("share_with_contexts")) is not None:
        aim(known)

    def watch() -> None:
        if fitter.later_problem is None and fitter.done >= RETARGETED_FROM * fitter.steps:
            share = measured_share(fitter, fitter.model())
            plan.workdir.remember(share_with_contexts=share)
            aim(share)

    return watch


def measured_share(fitter: Fitter, model: QuantizedModel) -> float:
    """The bytes of the file of `model` with context models, divided by its bytes without."""
    before, after = (len(fitter.encoded(candidate, b"")) - fitter.base_bytes for candidate in (model, with_own_contexts(model)))
    return after / before


def has_tensors(fitter: Fitter) -> bool:
    """Whether the video of `fitter` has tensors that may have context models of their own."""
    return any(tensor.own_contexts for tensor in fitter.problem.layout.tensors)


def with_own_contexts(model: QuantizedModel, video: int = -1) -> QuantizedModel:
    """`model` with a context model for each tensor of entry `video` that takes fewer bits with it."""
    entry = model.videos[video]
    specs = [spec for spec in tensor_specs(model.spec, entry.spec) if spec.own_contexts]
    tensors = entry.tensors | {spec.name: with_contexts(spec, entry.tensors[spec.name]) for spec in specs}
    videos = list(model.videos)
    videos[video] = replace(entry, tensors=tensors)
    return replace(model, videos=tuple(videos))


def with_contexts(spec: TensorSpec, tensor: QuantizedTensor) -> QuantizedTensor:
    """`tensor` with a context model if this takes fewer bits than its frequency table, else without."""
    alone = replace(tensor, contexts=None)
    coding = best_coding(tensor.symbols)
    least = coding.bits + sum(coding.parameter_bits)
    if least < LEAST_BITS or np.abs(changes_of(planes_of(tensor.symbols).astype(np.int64), axis=1)).max() > MAX_SYMBOL:
        return alone  # the code of an excess has no word for a larger change
    weights, best = trained(tensor.symbols), alone
    for exponent in EXPONENTS:
        rounded = {name: QuantizedTensor(quantize(value, exponent), exponent) for name, value in weights.items()}
        candidate = replace(tensor, contexts=rounded)
        try:
            bits = codings([spec], {spec.name: candidate})[spec.name].bits
        except BitstreamError:  # rounding can lift large weights above the codec's bound
            continue
        if bits < least:
            least, best = bits, candidate
    return best


def trained(symbols: np.ndarray) -> dict[str, np.ndarray]:
    """The float32 weights of a context model for `symbols`, by tensor name."""
    shapes = model_shapes(inputs_of(symbols.shape), HIDDEN)
    planes = list(known_planes(symbols, np.float32))
    contexts, values = np.concatenate([plane.inputs for plane in planes]), np.concatenate([plane.symbols - plane.bases for plane in planes])
    generator = np.random.default_rng(0)
    weights = {
        name: FIRST_DEVIATION * generator.standard_normal(shape) if name.endswith("kernel") else np.zeros(shape)
        for name, shape in shapes.items()
    }
    weights["output.bias"][1] = FIRST_LOG_SCALE
    chosen = generator.integers(0, len(values), (STEPS, BATCH))
    batches = (jnp.asarray(contexts[chosen] / 2**ACTIVATION_BITS), jnp.asarray(values[chosen], jnp.float32))
    first = {name: jnp.asarray(value, jnp.float32) for name, value in weights.items()}
    found = descended(first, *batches)  # JAX sorts names; the stream has an order of its own
    return {name: np.asarray(found[name]) for name in shapes}


@jax.jit
def descended(weights: Weights, contexts: Float[Array, "s b c"], values: Float[Array, "s b"]) -> Weights:
    """`weights` after one step of Adam on the mean bits of each batch; within the bounds of the codec's integers."""
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, len(values)))
    exact = jnp.bool_(False)
    bound = partial(bounded, [TensorSpec("", (), Owner.VIDEO, Zeros(), contexts=GridContexts("", (), 0))])

    def mean_bits(weights: Weights, contexts: Float[Array, "b c"], values: Float[Array, " b"]) -> Float[Array, ""]:
        return jnp.mean(laplace_bits(Model.of(weights, "").predict(contexts.T, exact), values, exact))

    def step(state, batch):
        weights, moments = state
        updates, moments = optimiser.update(jax.grad(mean_bits)(weights, *batch), moments)
        return (bound(cast(Weights, optax.apply_updates(weights, updates))), moments), None

    return jax.lax.scan(step, (weights, optimiser.init(weights)), (contexts, values))[0][0]

"""A decoder learned from several videos at once: the first layer of a bundle, which each video added to it begins from.

Kernels fitted to one video are content, and say little to another. Those that are fitted to many at once, each with private tensors
of its own, are a language for all of them; and as the layer is in the file once, each counts its backbone of its bits.
The private tensors are left behind: adding a video fits its own, and a layer of what it wants otherwise. (What PFNR, Kang et al.,
ICLR 2024, compares with as multi-task learning, here with the rate in the loss; and nothing ends with it.)
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from codec.bitstream import Kind, frame
from codec.bundle import Asked, asked_of, begun
from codec.decoder import decode_bundle
from codec.encoder import encode_layer
from codec.fields import write_spec
from codec.loading import read_file
from codec.model import Layer, QuantizedModel
from inr.errors import InrError, UsageError, VerifyError
from inr.layout import is_private
from inr.reading import read_video
from inr.video import Video
from inr.writing import write_atomically
from train import schedule
from train.adding import check_bundle, first_network
from train.checkpoint import Workdir
from train.config import FitConfig
from train.display import Display, Quiet
from train.encoding import EncodeOptions, observed, planned
from train.fitting import Fitter, Progress
from train.interrupts import Interrupts, Preempted, Wanted
from train.memory import check_memory
from train.origin import run_key
from train.presets import shared_weights
from train.rows import RowLayout
from train.state import OPTIMISER, Parameters, TrainState
from train.step import Frames, Metrics, Pace, Problem, Scalar, moved, slope

LEAST_VIDEOS = 2
STEPS_A_ROUND = 6  # of the backbone, at most: each follows several videos' gradients where there are more (benchmarks/RESULTS.md)
SAVE_SECONDS = 60.0


class Backbone(NamedTuple):
    """The backbone's rows and step exponents, of parameters or of one of Adam's moments."""

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]


class BackboneState(NamedTuple):
    """What all share: the backbone and Adam's moments of it."""

    backbone: Backbone
    moments: optax.OptState


class LearnState(NamedTuple):
    """What is carried from round to round: the rounds done, what all share, and each video's state."""

    step: int
    shared: BackboneState
    states: tuple[TrainState, ...]


@dataclass(frozen=True)
class Learned:
    """A learned decoder: the bundle, its bytes, those of the layer, rounds, mean PSNR of the last one in decibels, seconds."""

    output: Path
    bytes: int
    layer_bytes: int
    steps: int
    psnr: float
    seconds: float


class Course(NamedTuple):
    """How the rounds of this process went: the last one's mean PSNR in decibels, when the first had ended, mean seconds of one."""

    psnr: float
    first: float  # on the monotonic clock
    round_seconds: float


class Places:
    """Where the backbone lies in a layout."""

    def __init__(self, layout: RowLayout):
        self.tensors = np.array([index for index, name in enumerate(layout.names) if not is_private(name)])
        self.rows = np.concatenate([np.arange(layout.starts[index], layout.starts[index + 1]) for index in self.tensors])

    def taken(self, parameters: Parameters) -> Backbone:
        """The backbone out of parameters, or out of their gradient."""
        return Backbone(parameters.weights[self.rows], parameters.exponents[self.tensors])

    def given(self, parameters: Parameters, backbone: Backbone) -> Parameters:
        """Parameters with that backbone."""
        weights = parameters.weights.at[self.rows].set(backbone.weights)
        exponents = parameters.exponents.at[self.tensors].set(backbone.exponents)
        return parameters._replace(weights=weights, exponents=exponents)


@lru_cache(maxsize=256)
def make_private_step(problem: Problem) -> Callable[..., tuple[TrainState, Backbone, Metrics]]:
    """A function (state, backbone, gradients so far, video, pace) that takes a step of what is private, compiled once for a problem.

    It adds the backbone's gradient to those so far. What it does to the backbone in the state itself is of no account.
    """
    places = Places(problem.layout)

    def private_step(
        state: TrainState, backbone: Backbone, so_far: Backbone, video: Frames, pace: Pace
    ) -> tuple[TrainState, Backbone, Metrics]:
        state = state._replace(parameters=places.given(state.parameters, backbone))
        gradient, metrics, made = slope(state, problem, video, pace, None, False)
        after = moved(state, problem, pace, gradient, metrics, made, None, False)
        return after, jax.tree.map(jnp.add, so_far, places.taken(gradient)), metrics

    return jax.jit(private_step, donate_argnums=(0, 2))


@lru_cache(maxsize=4)
def make_backbone_step(config: FitConfig) -> Callable[[BackboneState, Backbone, Scalar | float, Scalar | float], BackboneState]:
    """A function (shared, gradient, progress, descent) that takes a step of the backbone, as `train.step.moved` does of all."""

    def backbone_step(shared: BackboneState, gradient: Backbone, progress: Scalar | float, descent: Scalar | float) -> BackboneState:
        updates, moments = cast(tuple[Backbone, optax.OptState], OPTIMISER.update(cast(Any, gradient), shared.moments))
        rate = schedule.learning_rate(config, jnp.asarray(progress, jnp.float32))
        weights = shared.backbone.weights - config.learning_rate * rate * descent * updates.weights
        exponents = shared.backbone.exponents - config.exponent_learning_rate * rate * updates.exponents
        return BackboneState(Backbone(weights, exponents), moments)

    return jax.jit(backbone_step)


class Learner:
    """Fits of several videos that share one backbone, under way."""

    def __init__(self, fitters: list[Fitter]):
        first = fitters[0].problem
        self.fitters, self.steps, self.seed, self.done = fitters, first.config.steps, first.config.seed, 0
        self.places, self.descent = Places(first.layout), schedule.descent(first.config)
        backbone = self.places.taken(fitters[0].state.parameters)
        self.shared = BackboneState(backbone, OPTIMISER.init(cast(Any, backbone)))
        self.private_steps = [make_private_step(fitter.problem.compiled) for fitter in fitters]
        self.backbone_step = make_backbone_step(first.compiled.config)

    def round(self) -> tuple[float, float]:
        """A step of each video, in random order, and some of the backbone among them; means of PSNR and of bits per pixel."""
        order = np.random.default_rng((self.seed, self.done)).permutation(len(self.fitters))
        progress, found = self.done / self.steps, list[Metrics]()
        for few in np.array_split(order, min(len(order), STEPS_A_ROUND)):
            gradient = jax.tree.map(jnp.zeros_like, self.shared.backbone)
            for index in few:
                fitter, private_step = self.fitters[index], self.private_steps[index]
                pace = fitter.problem.pace(progress, 1 / self.steps)
                fitter.state, gradient, metrics = private_step(fitter.state, self.shared.backbone, gradient, fitter.frames, pace)
                found.append(metrics)
            self.shared = self.backbone_step(self.shared, gradient, progress, self.descent)
        self.done += 1
        errors = np.maximum([float(metrics.mse) for metrics in found], 1e-10)
        pixels = [self.fitters[index].problem.video.pixels for index in order]
        return float(np.mean(-10 * np.log10(errors))), float(np.mean([float(m.bits) / n for m, n in zip(found, pixels, strict=True)]))

    @property
    def state(self) -> LearnState:
        return LearnState(self.done, self.shared, tuple(fitter.state for fitter in self.fitters))

    def resume(self, state: LearnState) -> None:
        """Go on from there."""
        self.done, self.shared = int(state.step), state.shared
        for fitter, own in zip(self.fitters, state.states, strict=True):
            fitter.state = own

    def models(self) -> list[QuantizedModel]:
        """Each video on the backbone, as integers."""
        for fitter in self.fitters:
            places = Places(fitter.problem.layout)
            fitter.state = fitter.state._replace(parameters=places.given(fitter.state.parameters, self.shared.backbone))
        return [fitter.model() for fitter in self.fitters]


def learn_files(
    sources: list[Path],
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Learned:
    """As `learn`, of files, folders or patterns."""
    without_decoder(target)  # before anything is read at length
    return learn([read_video(source, options.frames, options.scale) for source in sources], target, options, display, say)


def learn(
    videos: list[Video],
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Learned:
    """Fit one backbone to all `videos` and put it into the empty bundle `target`, as a layer that is no video's own.

    UsageError if the bundle has a decoder already, or of fewer than two videos. Told to leave, by Ctrl-C too, it saves what
    it has and raises Preempted; the bundle stays as it was.
    """
    started = time.monotonic()
    asked = asked_of(without_decoder(target))
    learner, workdir = prepared(videos, target, asked, options, "learn", say)
    with Interrupts() as interrupts, display or Quiet() as shown:
        course = learned_by(learner, workdir, shown, interrupts)
    layer = learner.models()[0].layers[0]
    made = beginning(asked, learner, layer)
    again = decode_bundle(made).layers[0].tensors
    if any(not np.array_equal(tensor.values(), again[name].values()) for name, tensor in layer.tensors.items()):
        raise VerifyError("verify", "the decoded layer differs from the learned one", "try again; report it if it repeats")
    write_atomically(target, made)
    workdir.remove()
    return Learned(target, len(made), len(encode_layer(layer)), learner.steps, course.psnr, time.monotonic() - started)


def prepared(
    videos: list[Video], target: Path, asked: Asked, options: EncodeOptions, aim: str, say: Callable[[str], None]
) -> tuple[Learner, Workdir]:
    """A fit of one backbone to all videos, not begun, and its folder, which is of one `aim`; UsageError of fewer than two."""
    if len(videos) < LEAST_VIDEOS:
        fix = f"inr bundle add '{target}' VIDEO   for a single one"
        raise UsageError("too-few", "a decoder is fitted to two videos or more at once", fix)
    keys = [run_key(video, options.wish, options.preset, options.seed) for video in videos]
    workdir = Workdir(options.folder(target), run_key(videos[0], aim, *keys), fresh=not options.resume)
    learner = Learner(fitters_of(videos, keys, asked, options))
    spec, count = learner.fitters[0].problem.spec, len(videos)
    say(f"{count} videos share {shared_weights(spec)} weights; {learner.steps} steps of each on {jax.default_backend()}")
    return learner, workdir


def beginning(asked: Asked, learner: Learner, layer: Layer) -> bytes:
    """A bundle of no video yet, whose first layer is common to those to come."""
    spec = write_spec(learner.fitters[0].problem.spec)
    return frame([*replace(asked, learned=True).records, (Kind.SPEC, spec), (Kind.LAYER, encode_layer(layer))])


def without_decoder(target: Path) -> bytes:
    """An empty bundle's bytes; InputError if there is no such file, UsageError if it has a decoder already."""
    check_bundle(target)
    data = read_file(target)
    if begun(data):
        raise UsageError(
            "has-decoder",
            f"'{target}' has a decoder already; nothing was changed",
            "inr bundle create OTHER.inr   then the same command there",
        )
    return data


def fitters_of(videos: list[Video], keys: list[str], asked: Asked, options: EncodeOptions) -> list[Fitter]:
    """A fit for each video, all on the network that the first one's rate asks for."""
    fitters: list[Fitter] = []
    for video, key in zip(videos, keys, strict=True):
        path, described = observed(video, options)
        wish = options.wish
        problem = planned(described, options, bpp := wish.nominal_bpp(described), key)
        spec = fitters[0].problem.spec if fitters else first_network(asked, problem.spec, described, bpp)
        target_bpp = None if wish.cap(described) is None else bpp
        config = replace(problem.config, sharing=len(videos), target_bpp=target_bpp, target_psnr=wish.target_psnr)
        check_memory(spec, described, config)
        fitters.append(Fitter(replace(problem, spec=spec, config=config), video, path=path))
    return fitters


def learned_by(learner: Learner, workdir: Workdir, shown: Display, interrupts: Interrupts) -> Course:
    """Run to the last round, resuming from `workdir`. Preempted when told to leave."""
    if (restored := workdir.restore(learner.state)) is not None:
        learner.resume(restored)
    began = saved = first = time.monotonic()
    done, psnr = learner.done, 0.0
    while learner.done < learner.steps:
        leave_if_asked(learner, workdir, interrupts)
        psnr, bpp = learner.round()
        if not math.isfinite(psnr + bpp):
            raise InrError("diverged", f"the loss was not finite in round {learner.done}; nothing was changed", "--seed 1 --resume never")
        now = time.monotonic()
        first = now if learner.done == done + 1 else first
        if now - saved > SAVE_SECONDS and learner.done < learner.steps:
            workdir.save(learner.state)
            saved = now
        shown(Progress(learner.done, learner.steps, psnr, bpp, now - began, learner.fitters[0].state))
    return Course(psnr, first, (time.monotonic() - began) / max(learner.done - done, 1))


def leave_if_asked(learner: Learner, workdir: Workdir, interrupts: Interrupts) -> None:
    """Save and raise Preempted when told to leave, by Ctrl-C too."""
    if interrupts.wish_by(math.inf, whole=True) is Wanted.NOTHING:
        return
    workdir.save(learner.state)
    left = Preempted()
    left.by_hand = interrupts.interrupted
    raise left

"""A decoder learned from several videos at once: the first layer of a bundle, which each video added to it begins from.

Kernels fitted to one video are content, and say little to another. Those that many are fitted to at once, in turns of a step,
with private tensors each, are a language for all of them; and as the layer is in the file once, each counts its part of its bits.
The private tensors are left behind: adding a video fits its own, and a layer of what it wants otherwise.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from codec.bitstream import Kind, frame
from codec.bundle import Asked, asked_of, begun
from codec.decoder import decode_bundle
from codec.encoder import encode_layer
from codec.fields import write_spec
from codec.loading import read_file
from codec.model import Layer
from inr.errors import InputError, UsageError, VerifyError
from inr.layout import is_private
from inr.reading import read_video
from inr.video import Video
from inr.writing import check_free, write_atomically
from train.adding import first_network
from train.checkpoint import Workdir
from train.display import Display, Quiet
from train.encoding import EncodeOptions, observed, planned
from train.fitting import Fitter, Progress
from train.interrupts import Interrupts, Preempted, Wanted
from train.memory import check_memory
from train.origin import run_key
from train.presets import shared_weights
from train.rows import RowLayout
from train.state import Parameters, TrainState

LEAST_VIDEOS = 2
SAVE_SECONDS = 60.0


class Part(NamedTuple):
    """The backbone's rows and step exponents, of parameters or of one of Adam's moments."""

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]


Common = tuple[Part, Part, Part]  # parameters, and their first and second moments


class Learning(NamedTuple):
    """What is carried from round to round: the rounds done, what all share, and each video's state."""

    step: int
    common: Common
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


@lru_cache(maxsize=8)
def handing(layout: RowLayout) -> tuple[Callable[[TrainState], Common], Callable[[TrainState, Common], TrainState]]:
    """Functions that take the backbone out of a state, and put it into one."""
    tensors = np.array([index for index, name in enumerate(layout.names) if not is_private(name)])
    rows = np.concatenate([np.arange(layout.starts[index], layout.starts[index + 1]) for index in tensors])

    def moments_of(state: TrainState) -> optax.ScaleByAdamState:
        return cast(optax.ScaleByAdamState, state.moments)

    def part(parameters: Parameters) -> Part:
        return Part(parameters.weights[rows], parameters.exponents[tensors])

    def taken(state: TrainState) -> Common:
        moments = moments_of(state)
        return part(state.parameters), part(cast(Parameters, moments.mu)), part(cast(Parameters, moments.nu))

    def given(state: TrainState, common: Common) -> TrainState:
        def joined(parameters: Parameters, part: Part) -> Parameters:
            weights, exponents = parameters.weights.at[rows].set(part.weights), parameters.exponents.at[tensors].set(part.exponents)
            return parameters._replace(weights=weights, exponents=exponents)

        moments = moments_of(state)
        mu, nu = (
            cast(Any, joined(cast(Parameters, moment), part)) for moment, part in zip((moments.mu, moments.nu), common[1:], strict=True)
        )
        return state._replace(parameters=joined(state.parameters, common[0]), moments=moments._replace(mu=mu, nu=nu))

    return jax.jit(taken), jax.jit(given, donate_argnums=(0,))


class Learner:
    """Fits of several videos that share one backbone, under way."""

    def __init__(self, fitters: list[Fitter]):
        self.fitters, self.steps = fitters, fitters[0].problem.config.steps
        self.done, self.generator_seed = 0, fitters[0].problem.config.seed
        self.common = handing(fitters[0].problem.layout)[0](fitters[0].state)

    def round(self) -> tuple[float, float]:
        """A step of each video, in random order, each from where the one before left the backbone; means of PSNR and of bits per pixel."""
        errors, rates = [], []
        for index in np.random.default_rng((self.generator_seed, self.done)).permutation(len(self.fitters)):
            fitter = self.fitters[index]
            taken, given = handing(fitter.problem.layout)
            fitter.state = given(fitter.state, self.common)
            metrics = fitter.take(1, self.done / self.steps, 1 / self.steps)
            self.common = taken(fitter.state)
            errors.append(float(metrics.mse))
            rates.append(float(metrics.bits) / fitter.problem.video.pixels)
        self.done += 1
        return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10)))), float(np.mean(rates))

    @property
    def state(self) -> Learning:
        return Learning(self.done, self.common, tuple(fitter.state for fitter in self.fitters))

    def resume(self, state: Learning) -> None:
        """Go on from there."""
        self.done, self.common = int(state.step), state.common
        for fitter, own in zip(self.fitters, state.states, strict=True):
            fitter.state = own

    def layer(self) -> Layer:
        """The backbone as integers."""
        last = self.fitters[0]
        last.state = handing(last.problem.layout)[1](last.state, self.common)
        return last.model().layers[0]


def learn_files(
    sources: list[Path],
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Learned:
    """As `learn`, of files, folders or patterns."""
    if not target.is_file():
        raise InputError("missing-bundle", f"no such bundle: '{target}'", f"inr bundle create '{target}'   then the same command")
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
    check_free(target, overwrite=True)
    data = read_file(target)
    if begun(data):
        raise UsageError(
            "has-decoder", f"'{target}' has a decoder already; nothing was changed", "inr bundle create OTHER.inr   then learn there"
        )
    if len(videos) < LEAST_VIDEOS:
        raise UsageError("too-few", "a decoder is learned from two videos or more", f"inr bundle add '{target}' VIDEO   for a single one")
    keys = [run_key(video, options.wish, options.preset, options.seed) for video in videos]
    workdir = Workdir(options.folder(target), run_key(videos[0], "learn", *keys), fresh=not options.resume)
    learner = Learner(fitters_of(videos, keys, asked_of(data), options))
    spec, count = learner.fitters[0].problem.spec, len(videos)
    say(f"{count} videos share {shared_weights(spec)} weights; {learner.steps} steps of each on {jax.default_backend()}")
    with Interrupts() as interrupts, display or Quiet() as shown:
        psnr = learned_by(learner, workdir, shown, interrupts)
    layer = learner.layer()
    payload = encode_layer(layer)
    made = frame([*replace(asked_of(data), learned=True).records, (Kind.SPEC, write_spec(spec)), (Kind.LAYER, payload)])
    again = decode_bundle(made).layers[0].tensors
    if any(not np.array_equal(tensor.values(), again[name].values()) for name, tensor in layer.tensors.items()):
        raise VerifyError("verify", "the decoded layer differs from the learned one", "try again; report it if it repeats")
    write_atomically(target, made)
    workdir.remove()
    return Learned(target, len(made), len(payload), learner.steps, psnr, time.monotonic() - started)


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


def learned_by(learner: Learner, workdir: Workdir, shown: Display, interrupts: Interrupts) -> float:
    """Run to the last round, resuming from `workdir`; the mean PSNR of the last round. Preempted when told to leave."""
    if (restored := workdir.restore(learner.state)) is not None:
        learner.resume(restored)
    began = saved = time.monotonic()
    psnr = 0.0
    while learner.done < learner.steps:
        if interrupts.wish_by(float("inf"), whole=True) is not Wanted.NOTHING:
            workdir.save(learner.state)
            left = Preempted()
            left.by_hand = interrupts.interrupted
            raise left
        psnr, bpp = learner.round()
        now = time.monotonic()
        if now - saved > SAVE_SECONDS:
            workdir.save(learner.state)
            saved = now
        shown(Progress(learner.done, learner.steps, psnr, bpp, now - began, learner.fitters[0].state))
    return psnr

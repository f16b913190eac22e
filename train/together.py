"""Several videos into an empty bundle at once, all on one layer that was fitted to them together: `inr bundle add --together`.

Added one after the other, a video finds kernels that were fitted to another one's content, and takes a layer of its own to change
them. Fitted together they find common ones, which are in the file once; what is private is then landed and refined for each video
on that layer as every decoder will read it. Nothing is forgotten here either: once written, the layer does not change.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from codec.bundle import asked_of, begun, origin_of_video
from codec.decoder import decode, decode_bundle
from codec.evaluation import compare
from codec.loading import read_file
from inr.errors import TargetMissed, UsageError
from inr.reading import read_video
from inr.video import Video
from inr.writing import write_atomically
from train.adding import check_bundle, least_growth
from train.continual import Ground
from train.display import Display, Quiet
from train.encoding import Encoded, EncodeOptions
from train.fitting import Fitted, Fitter, copied
from train.interrupts import Interrupts
from train.landing import Landed, Target, check_same, landed
from train.learning import Backbone, Learner, Places, beginning, learned_by, leave_if_asked, prepared, without_decoder
from train.origin import origin_of, run_key
from train.state import OPTIMISER, TrainState
from train.step import Problem
from train.wish import Wish


def add_files_together(
    sources: list[Path],
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Encoded]:
    """As `add_together`, of files, folders or patterns."""
    check_bundle(target)
    return add_together([read_video(source, options.frames, options.scale) for source in sources], target, options, display, say)


def add_together(
    videos: list[Video],
    target: Path,
    options: EncodeOptions,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Encoded]:
    """Fit `videos` on one layer and put all of them into the empty bundle `target`; nothing is left to do if this very run has.

    A rate or size is each video's, its part of the layer included; the bytes reported for the videos add up to the file. UsageError
    if the bundle has a decoder already, of fewer than two videos, or if two have one name. Told to leave, by Ctrl-C too, it saves
    what it has and raises Preempted; the bundle stays as it was.
    """
    started = time.monotonic()
    check_names(videos)
    others = [run_key(video) for video in videos]
    origins = [origin_of(run_key(video, "together", options.wish, options.preset, options.seed, *others)) for video in videos]
    if holds(target, origins):
        return []
    asked = asked_of(without_decoder(target))
    learner, workdir = prepared(videos, target, asked, options, "together", say)
    check_caps(learner, target, options)
    with Interrupts() as interrupts, display or Quiet() as shown:
        course = learned_by(learner, workdir, shown, interrupts)
        workdir.save(learner.state)
        base = beginning(asked, learner, learner.models()[0].layers[0])
        ground, done = Ground(base, decode_bundle(base)), list[Encoded]()
        for fitter, video, origin in zip(learner.fitters, videos, origins, strict=True):
            leave_if_asked(learner, workdir, interrupts)
            part = len(base) // len(videos) + (len(done) < len(base) % len(videos))
            found, problem = landed_on(ground, fitter, video, part, origin, options.wish, say)
            done.append(
                Encoded(
                    output=target,
                    report=compare(found.model.render_entry(-1), video.frames, found.size + part),
                    problem=problem,
                    estimated_bits=found.estimated_bits + 8 * part,
                    steps=learner.steps,
                    seconds=time.monotonic() - started,
                    seconds_to_first_step=course.first - started,
                    step_seconds=course.round_seconds / len(videos),
                    interrupted=False,
                    target_hit=found.hit,
                    model=found.model,
                )
            )
            ground = Ground(found.data, replace(found.model, origin=ground.origins + origin))
    check_same(decode(ground.data), ground.model)
    write_atomically(target, ground.data)
    workdir.remove()
    return done


def check_names(videos: list[Video]) -> None:
    """UsageError where a video has no name, or another one's."""
    names = [video.name for video in videos]
    if not all(names) or len(set(names)) < len(names):
        raise UsageError("duplicate-name", f"videos in a bundle need a name each: {names}", "rename a file: a video is called after it")


def holds(target: Path, origins: list[bytes]) -> bool:
    """Whether the bundle holds this very run's videos, and they are its first."""
    check_bundle(target)
    data = read_file(target)
    model = decode_bundle(data) if begun(data) else None
    return model is not None and [origin_of_video(model, at) for at in range(len(origins))] == origins


def check_caps(learner: Learner, target: Path, options: EncodeOptions) -> None:
    """TargetMissed, before anything is spent, if a cap is below what a video of nothing but zeros takes."""
    for fitter in learner.fitters:
        cap, least = options.wish.cap(fitter.problem.video), fitter.problem.overhead_bits // 8
        if cap is not None and cap < least:
            what = f"{cap} bytes is below what any video takes in '{target}': {least} bytes"
            raise TargetMissed("target-too-small", what, f"--target-size {2 * least}")


def landed_on(
    ground: Ground, joint: Fitter, video: Video, part: int, origin: bytes, wish: Wish, say: Callable[[str], None]
) -> tuple[Landed, Problem]:
    """A video with what is private from its joint fit, landed on the common layer of `ground`, and the problem that this was.

    `part` are its bytes of all that the videos have in common, within its cap; TargetMissed if they leave nothing of that.
    """
    least, cap = least_growth(ground, joint.problem.video), wish.cap(joint.problem.video)
    if cap is not None and cap < least + part:
        what = f"what '{video.name}' has in common with others takes {part} bytes; the cap is {cap}"
        raise TargetMissed("size-unreachable", what, "a larger target, or a longer fit: --preset medium")
    config = replace(joint.problem.config, sharing=1)
    problem = replace(joint.problem, config=config, overhead_bits=8 * least)
    fitter = Fitter(problem, video, ground, path=np.zeros((len(video), 3, 2)))
    fitter.state = with_private_parts(joint)
    model = fitter.model()
    fitted = Fitted(model, fitter.symbol_bits(model) + problem.overhead_bits, config.steps, 0.0, False, fitter.state)
    aim = Target(None if cap is None else cap - part, wish.target_psnr)
    return landed(fitter, fitted, video, aim, origin, say=lambda line: say(f"'{video.name}' {line}")), problem


def with_private_parts(joint: Fitter) -> TrainState:
    """The joint fit's state of what is private, all else zero: what it has in common with others lies in the layer below."""
    places, state = Places(joint.problem.layout), copied(joint.state)  # whose arrays a step gives up
    backbone = places.taken(state.parameters)
    parameters = places.given(state.parameters, Backbone(jnp.zeros_like(backbone.weights), backbone.exponents))
    return state._replace(parameters=parameters, moments=OPTIMISER.init(cast(Any, parameters)))

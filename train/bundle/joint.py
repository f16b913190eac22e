"""Several videos into an empty bundle at once, on one weight layer that is fitted to all of them: `inr bundle add --joint`.

A video that is added later finds kernels fitted to another one's content, and needs a layer of its own to change them. Fitted jointly,
the videos find common kernels, which are in the file once. The private tensors of each video are then brought to its target on that
layer, exactly as every decoder will read it. Once written, the layer does not change.
"""

import time
from dataclasses import replace
from pathlib import Path

from codec.bundle import bundle_settings, fingerprint_of_video, has_network
from codec.decoder import decode, decode_bundle
from codec.evaluation import compare
from codec.loading import read_file
from inr.errors import TargetMissed, UsageError
from inr.reading import read_video
from inr.video import Video
from inr.writing import write_atomically
from train.bundle.adding import check_bundle
from train.bundle.pretraining import check_without_decoder, leave_if_asked, prepare_joint_fit, pretrained_bundle, run_joint_fit
from train.encode.outcome import Encoded
from train.encode.verified_file import check_same
from train.fit.base_layers import BaseLayers
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts
from train.fit.joint_fitter import JointFitter
from train.fit.loop import Fitted
from train.fit.problem import Problem
from train.fit.progress import Reporter
from train.fit.rate_control import Candidate, Landing, control_rate
from train.fit.target import RateTarget
from train.plan.addition import least_growth
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions


def add_files_jointly(sources: list[Path], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> list[Encoded]:
    """As `add_jointly`, for files, folders or patterns."""
    check_bundle(bundle)
    selection = options.selection
    return add_jointly([read_video(source, selection.frames, selection.scale) for source in sources], bundle, options, reporter)


def add_jointly(videos: list[Video], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> list[Encoded]:
    """Fit `videos` on one weight layer and put all of them into the empty `bundle`; empty if this very run has done so already.

    A rate or size is each video's, its part of the layer included; the bytes reported for the videos add up to the file. UsageError
    if the bundle has a decoder already, for fewer than two videos, or if two have one name. Told to leave, also by Ctrl-C, it saves its
    state and raises Preempted; the bundle stays as it was.
    """
    started, reporter = time.monotonic(), reporter or Reporter()
    check_names(videos)
    others = [run_key(video, "") for video in videos]
    fingerprints = [fingerprint_of(run_key(video, options.identity("joint", *others))) for video in videos]
    if is_added_jointly(bundle, fingerprints):
        return []
    settings = bundle_settings(check_without_decoder(bundle))
    joint, workdir = prepare_joint_fit(videos, bundle, settings, options, "joint", reporter)
    check_caps(joint, bundle, options)
    with Interrupts() as interrupts, reporter.display as shown:
        outcome = run_joint_fit(joint, workdir, shown, interrupts)
        workdir.save(joint.snapshot())
        data = pretrained_bundle(settings, joint, joint.models()[0].layers[0])
        base, done = BaseLayers(data, decode_bundle(data)), list[Encoded]()
        for at, video in enumerate(videos):
            leave_if_asked(joint, workdir, interrupts)
            part = len(data) // len(videos) + (at < len(data) % len(videos))
            target = options.fit.target.resolved(joint.fitters[at].problem.video)
            found, problem = land_video(joint, at, base, Landing(video, with_part_paid(target, part), fingerprints[at]), reporter)
            done.append(
                Encoded(
                    output=bundle,
                    report=compare(found.model.render_entry(-1), video.frames, found.size + part),
                    problem=problem,
                    target=target,
                    estimated_bits=found.estimated_bits + 8 * part,
                    steps=joint.steps,
                    seconds=time.monotonic() - started,
                    seconds_to_first_step=outcome.first_chunk - started,
                    step_seconds=outcome.step_seconds / len(videos),
                    interrupted=False,
                    model=found.model,
                )
            )
            base = BaseLayers(found.data, replace(found.model, fingerprints=base.fingerprints + fingerprints[at]))
    check_same(decode(base.data), base.model)
    write_atomically(bundle, base.data)
    workdir.remove()
    return done


def check_names(videos: list[Video]) -> None:
    """UsageError if a video has no name, or another one's."""
    names = [video.name for video in videos]
    if not all(names) or len(set(names)) < len(names):
        raise UsageError("duplicate-name", f"videos in a bundle need a name each: {names}", "rename a file: a video is called after it")


def is_added_jointly(bundle: Path, fingerprints: list[bytes]) -> bool:
    """Whether the bundle holds this very run's videos, and they are its first."""
    check_bundle(bundle)
    data = read_file(bundle)
    model = decode_bundle(data) if has_network(data) else None
    return model is not None and [fingerprint_of_video(model, at) for at in range(len(fingerprints))] == fingerprints


def check_caps(joint: JointFitter, bundle: Path, options: EncodeOptions) -> None:
    """TargetMissed, before anything is spent, if a cap is below what a video of nothing but zeros takes."""
    for fitter in joint.fitters:
        cap, least = options.fit.target.cap(fitter.problem.video), fitter.problem.overhead_bits // 8
        if cap is not None and cap < least:
            what = f"{cap} bytes is below what any video takes in '{bundle}': {least} bytes"
            raise TargetMissed("target-too-small", what, f"--target-size {2 * least}")


def with_part_paid(target: RateTarget, part: int) -> RateTarget:
    """A resolved target after `part` bytes of its cap are paid for the common layer."""
    return target if target.target_bytes is None else replace(target, target_bytes=target.target_bytes - part)


def land_video(joint: JointFitter, at: int, base: BaseLayers, landing: Landing, reporter: Reporter) -> tuple[Candidate, Problem]:
    """One video's private tensors from the joint fit, brought to their target on the common layer of `base`; and the problem of that.

    TargetMissed if the part of the common layer leaves nothing of the video's cap.
    """
    fitter, video, cap = joint.fitters[at], landing.video, landing.target.target_bytes
    least = least_growth(base, fitter.problem.video)
    if cap is not None and cap < least:
        what = f"the layer that '{video.name}' shares leaves {max(cap, 0)} bytes of its cap; {least} are the least"
        raise TargetMissed("size-unreachable", what, "a larger target, or a longer fit: --preset medium")
    config = replace(fitter.problem.config, num_sharing_videos=1)
    problem = replace(fitter.problem, config=config, overhead_bits=8 * least)
    landed = Fitter(problem, video, base)
    landed.state = joint.private_state(at)
    model = landed.model()
    fitted = Fitted(model, landed.estimated_bits(model), config.steps, 0.0, False, landed.state)
    return control_rate(landed, fitted, landing, reporter.about(video.name).say), problem

"""The key of a run: a hash by which an encoder recognises its own finished file and its own unfinished work."""

import hashlib

import numpy as np

from codec.bitstream import DRAFT, FINGERPRINT_BYTES, VERSION
from inr.video import Video


def run_key(video: Video, identity: str) -> str:
    """A hash of everything that decides the result: pixels, timing, the options' `identity`, format version and draft.

    Facts that are measured once and then kept in the run's folder are no part of it: the number of steps that a time budget becomes,
    and the rate that a quality is expected to take.
    """
    digest = hashlib.sha256(np.ascontiguousarray(video.frames).data)
    facts = (video.frames.shape, video.fps, video.colour, video.name)
    digest.update(f"({', '.join(map(repr, facts))}, {identity}, {VERSION}, {DRAFT})".encode())
    return digest.hexdigest()


def fingerprint_of(key: str) -> bytes:
    """The part of a run's key that its finished file carries."""
    return bytes.fromhex(key)[:FINGERPRINT_BYTES]

"""Knowing one's own work again: what decides a run's result, as a hash."""

import hashlib
from collections.abc import Hashable

import numpy as np

from codec.bitstream import DRAFT, ORIGIN_BYTES, VERSION
from inr.video import Video


def run_key(video: Video, *asked: Hashable) -> str:
    """A hash of all that decides the result: pixels, timing, what is asked and how, format version and draft.

    What is measured once, and then stands in the run's folder, is not part of it: the steps that a time budget
    becomes, the rate that a quality is expected to take.
    """
    digest = hashlib.sha256(np.ascontiguousarray(video.frames).data)
    facts = (video.frames.shape, video.fps, video.colour, video.name, asked, VERSION, DRAFT)
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def origin_of(key: str) -> bytes:
    """The part of a run's key that its finished file carries."""
    return bytes.fromhex(key)[:ORIGIN_BYTES]

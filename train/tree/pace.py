"""The pace of a fit of a tree under a time budget: how many updates of a frame the time allows."""

import math
import time

import numpy as np

from inr.frame_tree import TreeFrame

KEY_UPDATES, FIRST_UPDATES = 2, 3  # times as many updates for key frames, and for the first one
RECENT = 12  # frames whose durations predict those of later ones
NEAR, MOST_SHARE = 0.05, 2.0  # difference from the planned updates that does not count; most updates for each planned one
COMPILING = 3  # frames of a process whose durations do not count
OTHER_SHARE = 0.6  # of the seconds of a quick pass beside updates, those that the last pass needs as well: it does no block matching
AFTER_UPDATES = 2.5  # updates of a frame that take as long as its work after the last pass


def share_of(frame: TreeFrame) -> int:
    """How many times as many updates as an ordinary frame this one gets."""
    return FIRST_UPDATES if not frame.references else KEY_UPDATES if frame.level == 0 else 1


class Pace:
    """The durations of the frames that this process fitted, and the time that is left.

    `until` is the time when the last pass over all `frames` frames must end, in seconds of the monotonic clock; infinite without a budget.
    `most_updates` is the most updates of the last pass.
    """

    def __init__(self, frames: int):
        self.frames = frames
        self.until, self.most_updates = math.inf, math.inf
        self._timings = list[tuple[float, float]]()

    @property
    def limited(self) -> bool:
        """Whether there is a time budget, and durations are known."""
        return self.until < math.inf and len(self._timings) > COMPILING

    def note(self, seconds: float, updates: int, of_updates: float) -> None:
        """Note the duration of a frame, of which its updates took `of_updates` seconds."""
        self._timings.append((of_updates / updates, seconds - of_updates))

    def frame_seconds(self) -> tuple[float, float]:
        """The seconds of an update, and of a frame's other work: medians of recent frames after the first ones, which compile functions."""
        recent = np.array(self._timings[min(COMPILING, len(self._timings) - 1) :][-RECENT:])
        return float(np.median(recent[:, 0])), float(np.median(recent[:, 1]))

    def updates_for(self, frames: int, other_share: float = OTHER_SHARE) -> float:
        """The updates that the time allows for `frames` frames from now on.

        `other_share` is the share of the seconds beside updates that these frames need.
        """
        update, other = self.frame_seconds()
        left = self.until - time.monotonic() - other_share * other * frames - AFTER_UPDATES * update * self.frames
        return min(max(left / update, 0.0), self.most_updates)

    def share(self, planned: float, frames: int, other_share: float) -> float:
        """The share of the `planned` updates of `frames` frames that the time allows, up to MOST_SHARE; 1 if it is near."""
        share = min(self.updates_for(frames, other_share) / planned, MOST_SHARE)
        return 1.0 if abs(share - 1) < NEAR else share

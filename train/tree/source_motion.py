"""The motion between the source pictures of a video, found by other threads ahead of the fit.

Most of block matching does not need decoded pictures: true motion is the same in both. So it is done while the fit compiles its functions,
and while it updates earlier frames.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

from inr.cores import usable_cores
from inr.frame_tree import TreeFrame
from inr.video import Video
from train.tree.matching import Field, Scaled, field_of
from train.tree.transforms import source_planes

RATE_WEIGHT = 1e-3  # of vectors; that of the fit is not known yet
KEPT = 8  # pictures that several searches read


class SourceMotion:
    """The motion from each frame of a video to its references, by block matching of the source pictures."""

    def __init__(self, video: Video):
        self._found = dict[int, list[Future[Field | None]]]()
        self._scaled = lru_cache(KEPT)(lambda index: Scaled.of(source_planes(video.frames[index])[..., 0]))

    def fields(self, frame: TreeFrame) -> list[Field]:
        """The motion to each reference, in pixels."""
        found = [waiting.result() for waiting in self._found.pop(frame.index, ())] or [None] * len(frame.references)
        return [self._search(frame.index, at) if field is None else field for at, field in zip(frame.references, found, strict=True)]

    @contextmanager
    def ahead(self, frames: Sequence[TreeFrame], is_known: Callable[[TreeFrame], bool]) -> Iterator[None]:
        """Inside this context, other threads search for `frames`, in this order, except for those that are known when their turn comes."""
        with ThreadPoolExecutor(max(1, usable_cores() // 2)) as threads:

            def search(frame: TreeFrame, reference: int) -> Field | None:
                return None if is_known(frame) else self._search(frame.index, reference)

            self._found = {frame.index: [threads.submit(search, frame, at) for at in frame.references] for frame in frames}
            try:
                yield
            finally:
                self._found = {}
                threads.shutdown(cancel_futures=True)

    def _search(self, index: int, reference: int) -> Field:
        return field_of(self._scaled(index), self._scaled(reference), RATE_WEIGHT, abs(index - reference))

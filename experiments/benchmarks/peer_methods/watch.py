"""What a method is given, and the clock of its training, which stands still while it is scored."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from cml_jax.data.interactions import Dataset
from cml_jax.types import Ranking
from experiments.config import Config

_GROWTH = 1.2  # by this factor training time grows from one score to the next
_STALE = 3.0  # a best score that is older than two thirds of the time so far is the last one, ...
_LEAST = 0.25  # ... from this share of the limit on, if it is well above chance


class Task(NamedTuple):
    """What every method is given.

    Attributes:
        config: of our own run, and of the data.
        dataset: trained on `train`, scored on `valid`.
        sha256: digest of the data set.
        dim: D of every method.
        num_threads: that every method may use.
        libcml: a checkout of LibCML, where there is one.
        seed: of the draws.
    """

    config: Config
    dataset: Dataset
    sha256: str
    dim: int
    num_threads: int
    libcml: Path | None = None
    seed: int = 0


class Point(NamedTuple):
    """A score during training.

    Attributes:
        passes: over the training pairs.
        seconds: of set-up and training.
        value: the metric on validation.
    """

    passes: float
    seconds: float
    value: float


class Enough(Exception):  # noqa: N818 - it ends a training, as StopIteration ends a loop
    """A method has had its time, or does not get better."""


class Watch:
    """Measures one training, and scores it whenever its time has grown by 20 %.

    Attributes:
        setup_seconds: until the first step: compilation, tables, draws made ahead.
        points: scores so far.
        ended: why the training ended.
    """

    def __init__(
        self,
        score: Callable[[Ranking], float],
        limit: float,
        *,
        floor: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Starts the clock.

        Args:
            score: ranking -> the metric on validation.
            limit: seconds of training, from `ready` on.
            floor: a best score up to this does not end a training, which may be slow to begin.
            clock: seconds from any moment on.
        """
        self.setup_seconds = 0.0
        self.points: list[Point] = []
        self.ended = ""
        self._score, self._limit, self._floor, self._clock = score, limit, floor, clock
        self._seconds, self._next = 0.0, 0.0  # of set-up and training
        self._since = clock()

    def ready(self) -> None:
        """The next thing is the first step."""
        self.setup_seconds = self._clock() - self._since

    def after(self, passes: float, ranking: Callable[[], Ranking]) -> None:
        """Notes that training has come so far; where a score is due, the clock stands still for it.

        Args:
            passes: over the training pairs so far.
            ranking: how the method ranks items now; called where a score is due, before this returns.

        Raises:
            Enough: the method is to stop.
        """
        now = self._clock()
        self._seconds += now - self._since
        if self._seconds >= min(self._next, self.setup_seconds + self._limit):
            self._add(passes, ranking())
            self._next = _GROWTH * self._seconds
        self._since = self._clock()

    def _add(self, passes: float, ranking: Ranking) -> None:
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(ranking)):
            self._end("diverged")
        self.points.append(Point(passes, self._seconds, self._score(ranking)))
        best = max(self.points, key=lambda point: point.value)
        trained = self._seconds - self.setup_seconds
        if trained >= self._limit:
            self._end("limit")
        stale = trained > max(_STALE * (best.seconds - self.setup_seconds), _LEAST * self._limit)
        if stale and best.value > self._floor:
            self._end("no better")

    def _end(self, why: str) -> None:
        self.ended = why
        raise Enough(why)

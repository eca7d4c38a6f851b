"""Which evaluations run and which wait: as many at once as each evaluator may have, and a queue for the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..fork import generation
from ..runs.size import estimate_size
from .attached import AttachedEvaluator
from .evaluation import Evaluation
from .queue import WaitingQueue

__all__ = ('Places',)


class Places:
    """Gives evaluations one of their evaluator's `max_concurrency` places, or one in the queue of their config."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin with nobody waiting, as also a forked child does."""
        self._lock = threading.Lock()
        self._queues: dict[int, WaitingQueue] = {}

    def waiting(self) -> tuple[int, int]:
        """How many evaluations wait, and the bytes that their runs hold."""
        with self._lock:
            queues = self._queues.values()
            return sum(map(len, queues)), sum(queue.bytes for queue in queues)

    def waiting_count(self) -> int:
        """How many evaluations wait."""
        return self.waiting()[0]

    def take(self, evaluation: Evaluation) -> list[Evaluation] | None:
        """Give an evaluation a place, or let it wait for one.

        Returns:
            `None` if it is to start now; or else the evaluations that must be dropped since it waits, perhaps itself.
        """
        attached = evaluation.attached
        limit = attached.settings.max_concurrency
        size = estimate_size(evaluation.context.run) if attached.running >= limit else 0
        with self._lock:
            attached.enter(generation())
            if attached.running < limit:
                attached.running += 1
                return None
            config = evaluation.config
            queue = self._queues.get(id(config.__dict__))
            if queue is None:
                queue = self._queues[id(config.__dict__)] = WaitingQueue(config)
            return queue.add(evaluation, size)

    def pass_on(self, attached: AttachedEvaluator) -> Evaluation | None:
        """Give an evaluator's place to the evaluation that has waited longest, if there is one."""
        with self._lock:
            if not attached.waiting:
                attached.running -= 1
                return None
            evaluation = attached.waiting.popleft()
            key = id(evaluation.config.__dict__)
            queue = self._queues[key]
            queue.remove(evaluation)
            if not len(queue):
                del self._queues[key]
            return evaluation

    def give_up(self, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
        """Let those of the evaluations that wait wait no longer. Returns them."""
        with self._lock:
            waiting = [evaluation for evaluation in evaluations if evaluation.is_waiting]
            for evaluation in waiting:
                evaluation.attached.waiting.remove(evaluation)
                self._queues[id(evaluation.config.__dict__)].remove(evaluation)
        return waiting

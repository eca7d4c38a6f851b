"""The evaluations that wait, bounded by count and by bytes."""

from __future__ import annotations

from collections import OrderedDict

from ..runs.record import RunRecord
from ..settings import OnlineEvalConfig
from .evaluation import Evaluation

__all__ = ('WaitingQueue',)


class WaitingQueue:
    """Evaluations over their evaluator's `max_concurrency`, of one config. Not thread-safe: the pipeline locks."""

    def __init__(self, config: OnlineEvalConfig) -> None:
        self._config = config
        self._waiting: OrderedDict[int, Evaluation] = OrderedDict()
        self._runs: dict[int, list[int]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        """How many evaluations wait."""
        return len(self._waiting)

    def add(self, evaluation: Evaluation, size: int) -> list[Evaluation]:
        """Let an evaluation wait.

        Args:
            evaluation: The evaluation.
            size: Bytes that its run holds; they count once however many evaluations of the run wait.

        Returns:
            The evaluations that must be dropped for it, it itself perhaps among them.
        """
        if size > self._config.queue_bytes:
            return [evaluation]
        dropped: list[Evaluation] = []
        while not self._fits(evaluation.context.run, size):
            if self._config.overflow == 'drop_newest' or not self._waiting:
                return [*dropped, evaluation]
            oldest = next(iter(self._waiting.values()))
            self.remove(oldest)
            oldest.attached.waiting.remove(oldest)
            dropped.append(oldest)
        self._waiting[id(evaluation)] = evaluation
        run = self._runs.setdefault(id(evaluation.context.run), [0, size])
        if not run[0]:
            self.bytes += size
        run[0] += 1
        evaluation.is_waiting = True
        evaluation.attached.waiting.append(evaluation)
        return dropped

    def remove(self, evaluation: Evaluation) -> None:
        """Let an evaluation wait no longer. The caller takes it out of its evaluator's line."""
        del self._waiting[id(evaluation)]
        evaluation.is_waiting = False
        key = id(evaluation.context.run)
        run = self._runs[key]
        run[0] -= 1
        if not run[0]:
            self.bytes -= run[1]
            del self._runs[key]

    def _fits(self, run: RunRecord, size: int) -> bool:
        held = 0 if id(run) in self._runs else size
        return len(self._waiting) < self._config.queue_size and self.bytes + held <= self._config.queue_bytes

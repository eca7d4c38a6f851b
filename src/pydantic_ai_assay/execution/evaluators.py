"""The evaluators that are attached in one place, and which of them a run that starts there may be shown to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ..sampling.choice import RunStart, choose_before_run
from ..settings import DEFAULT_CONFIG, own_config
from .attached import attach
from .pipeline import PIPELINE, Chosen

__all__ = ('AttachedEvaluators',)


class AttachedEvaluators:
    """Evaluators attached together, with the settings that hold for all of them."""

    __slots__ = ('attached', 'config')

    def __init__(
        self,
        evaluators: Sequence[Evaluator[Any, Any, Any] | upstream.OnlineEvaluator],
        config: upstream.OnlineEvalConfig | None,
    ) -> None:
        """Attach evaluators.

        Raises:
            ConfigurationError: If one of them is no evaluator, or a setting has a value that cannot work.
        """
        self.attached = [attach(evaluator) for evaluator in evaluators]
        self.config = own_config(config) if config is not None else DEFAULT_CONFIG

    def choose(self, target: str, start: Callable[[], RunStart]) -> Chosen | None:
        """Choose the evaluators that may be shown a run that is about to start, and count the others.

        Args:
            target: Name of what runs.
            start: Tells what is known of the run; called only if that matters.

        Returns:
            The candidates, or `None` where there are none.
        """
        config = self.config
        if not config.should_evaluate():
            return None
        candidates, left_out = choose_before_run(self.attached, config, start)
        for attached, error in left_out:
            if error is None:
                PIPELINE.counters.count('sampled_out', attached.name, target)
            else:
                PIPELINE.counters.count('skipped', attached.name, target)
                PIPELINE.sampling_failed(attached, config, error)
        return Chosen(config, candidates) if candidates else None

"""The evaluators that are attached in one place, and which of them a run that starts there may be shown to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakSet

from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ..checks import check_several
from ..errors import ConfigurationError, describe
from ..runs.active import ActiveRun
from ..sampling.choice import Candidate, RunStart, choose_before_run
from ..settings import DEFAULT_CONFIG, ResultStore, own_config
from ..switches import check_switches, current_switches
from .attached import AttachedEvaluator, attach
from .chosen import Chosen
from .keeping import store_of
from .namesakes import check_names, warn_of_namesakes
from .observation import OPEN, current_observation
from .pipeline import PIPELINE

__all__ = ('AttachedEvaluators',)


class AttachedEvaluators:
    """Evaluators attached together, with the settings that hold for all of them."""

    __slots__ = ('__weakref__', '_met', 'attached', 'blocks', 'config')

    def __init__(
        self,
        evaluators: Sequence[Evaluator[Any, Any, Any] | upstream.OnlineEvaluator],
        config: upstream.OnlineEvalConfig | None,
        *,
        may_block: bool = False,
    ) -> None:
        """Attach evaluators.

        Args:
            evaluators: The evaluators.
            config: The settings that hold for all of them. Default: `DEFAULT_CONFIG`.
            may_block: Whether there is an output that can be held back.

        Raises:
            ConfigurationError: If one of them is no evaluator, two that differ have one name, or a setting or an
                environment variable has a value that cannot work.
        """
        check_switches()
        check_several('evaluators', evaluators)
        self.attached = [attach(evaluator) for evaluator in evaluators]
        self.config = own_config(config) if config is not None else DEFAULT_CONFIG
        self._met: WeakSet[AttachedEvaluators] = WeakSet()
        check_names(self.attached)
        store_of(self.config, current_switches().store)
        blocking = [each.name for each in self.attached if each.settings.mode == 'block']
        if blocking and not may_block:
            raise ConfigurationError(
                f"mode='block' holds back the outputs of agents, and there is no agent here, got it for {', '.join(blocking)}."
            )
        self.blocks = bool(blocking)

    def _store(self, variable: str | None) -> ResultStore | None:
        try:
            return store_of(self.config, variable)
        except ConfigurationError as error:
            # The variable was set after the evaluators were attached.
            PIPELINE.notices.warn('store', f'Runs are not kept: {error}')
            return None

    def find(self, key: str) -> AttachedEvaluator | None:
        """The evaluator that has this key, if there is one."""
        return next((each for each in self.attached if each.key == key), None)

    def choose(self, target: str, start: Callable[[], RunStart], *, active: ActiveRun | None = None) -> Chosen | None:
        """Choose the evaluators that may be shown a run that is about to start, and count the others.

        Args:
            target: Name of what runs.
            start: Tells what is known of the run; called only if that matters.
            active: The run, where others may have been attached to it, and its output may have to wait.

        Returns:
            The candidates, or `None` where there are none.
        """
        config = self.config
        if not config.should_evaluate():
            return None
        switches = current_switches()
        if not switches.evaluations:
            return None
        if active is not None and active.chosen:
            self._compare_with(active.chosen)
        observation = current_observation() if OPEN else None
        store = self._store(switches.store) if config.store is not None or switches.store else None
        candidates: list[Candidate[AttachedEvaluator]]
        if observation is not None and observation.judge_all:
            candidates, left_out = [each.certain for each in self.attached], []
        else:
            candidates, left_out = choose_before_run(self.attached, config, start, cap=switches.sample_rate)
        for attached, error in left_out:
            if error is not None:
                PIPELINE.selection.sampling_failed(attached, config, error, active=active)
            PIPELINE.selection.pass_over(
                attached,
                'sampled_out' if error is None else 'skipped',
                target,
                () if observation is None else (observation,),
                store,
            )
        if not candidates:
            return None
        return Chosen(
            config,
            candidates,
            evaluators=self,
            record_content=switches.record_content,
            observation=observation,
            store=store,
        )

    def _compare_with(self, others: Iterable[Chosen]) -> None:
        """Warn of namesakes in what else is attached to the run that is about to start."""
        for other in others:
            evaluators = other.evaluators
            if isinstance(evaluators, AttachedEvaluators) and evaluators not in self._met:
                self._met.add(evaluators)
                try:
                    warn_of_namesakes(evaluators.attached, self.attached, PIPELINE.notices)
                except Exception as error:
                    # What evaluators and settings are shown as, and compared by, is the user's.
                    PIPELINE.notices.warn_once(
                        'namesakes', f'Two evaluators of one name could not be compared: {describe(error)}.'
                    )

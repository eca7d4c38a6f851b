"""An evaluator as attached: its settings, its identity, and how many of its evaluations run and wait."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator, EvaluatorSpec

from .._upstream import default_judge_model
from ..judging.grader import Grader
from ..runs.identity import EvaluatorIdentity, identify
from ..sampling.choice import Candidate
from ..settings import OnlineEvaluator, own_evaluator

if TYPE_CHECKING:
    from .evaluation import Evaluation

__all__ = ('AttachedEvaluator', 'attach')

_ATTRIBUTE = '_assay_attached'


class AttachedEvaluator:
    """What the pipeline keeps of an evaluator between runs."""

    attaching: ClassVar[threading.Lock] = threading.Lock()
    """Held while an evaluator is attached. A forked child makes another one."""

    def __init__(self, settings: OnlineEvaluator) -> None:
        self.settings = settings
        self.evaluator: Evaluator[Any, Any, Any] = settings.evaluator
        self.certain: Candidate[AttachedEvaluator] = Candidate(self, 1.0, 0.0)
        self.running = 0
        self.waiting: deque[Evaluation] = deque()
        self._generation = 0
        self._identity: EvaluatorIdentity | None = None
        self._default_model: object = None
        self._is_grader = isinstance(self.evaluator, Grader)
        self._is_async: bool | None = None
        self._key: str | None = None

    @property
    def identity(self) -> EvaluatorIdentity:
        """The evaluator's identity, read until it could be read once.

        Raises:
            Exception: Whatever the evaluator raises when asked for its name, version or spec.
        """
        # Judges without a model of their own are others as soon as the default is another.
        model = default_judge_model() if self._is_grader else None
        if self._identity is None or model is not self._default_model:
            self._identity, self._default_model, self._key = identify(self.evaluator), model, None
        return self._identity

    @property
    def known_identity(self) -> EvaluatorIdentity | None:
        """The evaluator's identity, or `None` where the evaluator raises when asked for it."""
        try:
            return self.identity
        except BaseException:
            # Whatever it is, down to a `SystemExit`: it fails the evaluation when that reads the identity.
            return None

    @property
    def name(self) -> str:
        """The evaluator's name, or its class's where the name cannot be read."""
        identity = self._identity or self.known_identity
        return identity.name if identity is not None else type(self.evaluator).__name__

    @property
    def key(self) -> str:
        """What tells this evaluator from others: name and fingerprint, or the object where those cannot be read."""
        identity = self.known_identity
        if self._key is None:
            if identity is None:
                return f'{type(self.evaluator).__qualname__}@{id(self.evaluator)}'
            self._key = f'{identity.name}:{identity.fingerprint}'
        return self._key

    @property
    def source(self) -> EvaluatorSpec:
        """The evaluator's spec, or its class name alone where the spec cannot be read."""
        identity = self.known_identity
        if identity is None:
            return EvaluatorSpec(name=type(self.evaluator).__name__, arguments=None)
        return identity.source

    @property
    def is_async(self) -> bool:
        """Whether the evaluator needs an event loop. A plain function that returned a coroutine once is one that does."""
        if self._is_async is None:
            cls = type(self.evaluator)
            self._is_async = (
                inspect.iscoroutinefunction(cls.evaluate) or cls.evaluate_async is not Evaluator.evaluate_async
            )
        return self._is_async

    def enter(self, generation: int) -> None:
        """Forget what ran and waited in the process that this one was forked from. The pipeline locks.

        Args:
            generation: How many forks lie between the first process and this one.
        """
        if self._generation != generation:
            self._generation = generation
            self.running = 0
            self.waiting = deque()

    def needs_event_loop(self) -> None:
        """Remember that the evaluator returned a coroutine."""
        self._is_async = True


def attach(evaluator: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator) -> AttachedEvaluator:
    """Attach an evaluator; attaching the same `OnlineEvaluator` again shares its concurrency limit.

    Raises:
        ConfigurationError: If it is neither an evaluator nor an `OnlineEvaluator`.
    """
    settings = own_evaluator(evaluator)
    with AttachedEvaluator.attaching:
        attached = vars(settings).get(_ATTRIBUTE)
        # A copy of an `OnlineEvaluator` copies this as well, and is still another one.
        if attached is None or vars(attached.settings) is not vars(settings):
            attached = vars(settings)[_ATTRIBUTE] = AttachedEvaluator(settings)
        return attached

"""A durable execution engine that keeps its journal in memory: what a step returned once, it returns in each replay."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationId,
    JournalCallableOperationBackend,
    RoleBasedOperationConfig,
)

__all__ = ('Journal', 'JournalDurability')


class Journal:
    """The steps of one workflow, which may be run several times."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str | Exception]] = []
        self.fails: str | None = None
        self._position = 0

    @contextmanager
    def workflow(self) -> Generator[None]:
        """Run the workflow, from the beginning."""
        self._position = 0
        token = CURRENT.set(self)
        try:
            yield
        finally:
            CURRENT.reset(token)

    async def step(self, name: str, body: Callable[[], Awaitable[object]]) -> Any:
        if self._position == len(self.steps):
            if self.fails is not None and name.endswith(self.fails):
                raise ConnectionError('no database')
            token = CURRENT.set(None)
            try:
                self.steps.append((name, json.dumps(await body())))
            except Exception as error:
                self.steps.append((name, error))
            finally:
                CURRENT.reset(token)
        recorded, payload = self.steps[self._position]
        assert name == recorded, 'the replay went another way'
        self._position += 1
        if isinstance(payload, Exception):
            raise payload
        return json.loads(payload)

    @property
    def names(self) -> list[str]:
        return [name.rpartition('.')[2] for name, _ in self.steps]


CURRENT: ContextVar[Journal | None] = ContextVar('journal', default=None)


class Backend(JournalCallableOperationBackend[None]):
    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        journal = CURRENT.get()
        assert journal is not None
        return await journal.step(name, body)


class JournalDurability(BaseDurabilityCapability[Any]):
    engine_spec = DurabilityEngineSpec(
        engine_name='Journal', durable_unit_noun='step', durable_container_noun='workflow', codec=JSON_CODEC
    )

    @property
    def in_durable_context(self) -> bool:
        return CURRENT.get() is not None

    def get_default_run_id(self) -> str | None:
        return 'run-1' if self.in_durable_context else None

    def get_durable_operation_backend(self) -> Backend:
        config = RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None)
        return Backend(agent_name=self.name, config=config)

"""Fixtures for all unit tests."""

import hypothesis
import pytest

hypothesis.settings.register_profile('unit', derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile('unit')


@pytest.fixture
def anyio_backend() -> str:
    return 'asyncio'

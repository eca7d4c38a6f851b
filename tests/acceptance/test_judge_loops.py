"""A judge whose model is given by name, asked from several event loops over real connections."""

import asyncio
import threading

import pytest
from openai_server import openai_server

from pydantic_ai_assay import Judge, JudgementError

pytestmark = pytest.mark.acceptance


def test_a_judge_works_from_several_event_loops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENAI_API_KEY', 'key')
    errors: list[str] = []
    with openai_server() as server:
        monkeypatch.setenv('OPENAI_BASE_URL', server.url)
        # The server answers in words, and so gives no verdict; but it answers.
        judge = Judge('It is right', model='openai-chat:gpt-4o', retries=1)

        async def judge_some() -> None:
            for _ in range(3):
                with pytest.raises(JudgementError) as raised:
                    await judge.judge(output='x')
                errors.append(type(raised.value.__cause__).__name__)

        threads = [threading.Thread(target=asyncio.run, args=(judge_some(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)
    assert errors == ['UnexpectedModelBehavior'] * 9
    assert server.requests == 18

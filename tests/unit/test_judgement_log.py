"""What a log of votes knows of calls that are not over."""

from dataclasses import replace
from decimal import Decimal

from pydantic_ai.usage import RunUsage

from pydantic_ai_assay import Judgement, Vote
from pydantic_ai_assay.runs.judgement import JudgementLog, OpenVote


def begun(log: JudgementLog, usage: RunUsage) -> Vote:
    """Begin a call, and return the vote that it is going to end with."""
    vote = Vote(judge='strict', usage=usage, model='gpt', duration=1.5)
    log.add(OpenVote(judge='strict', usage=usage, so_far=lambda: vote))
    return vote


def test_nothing_is_known_before_the_first_call() -> None:
    assert JudgementLog().judgement is None


def test_a_call_that_lasts_is_a_vote_that_is_not_finished() -> None:
    log, usage = JudgementLog(), RunUsage(requests=1, input_tokens=10, details={'cached': 1})
    begun(log, usage)
    judgement = log.judgement
    assert judgement is not None
    (vote,) = judgement.votes
    assert type(vote) is Vote
    assert (vote.judge, vote.value, vote.error) == ('strict', None, 'unfinished')
    assert (vote.model, vote.duration) == ('gpt', 1.5)
    assert judgement.usage == usage


def test_what_it_uses_later_is_not_added_to_what_was_known_before() -> None:
    log, usage = JudgementLog(), RunUsage(requests=1, details={'cached': 1})
    begun(log, usage)
    before = log.judgement
    usage.incr(RunUsage(requests=1, details={'cached': 2}))
    after = log.judgement
    assert before is not None
    assert after is not None
    assert (before.usage.requests, before.usage.details) == (1, {'cached': 1})
    assert (after.usage.requests, after.usage.details) == (2, {'cached': 3})


def test_the_vote_that_a_call_ends_with_takes_its_place() -> None:
    log, first, second = JudgementLog(), RunUsage(), RunUsage()
    ended = replace(begun(log, first), value=True, passed=True)
    begun(log, second)
    log.add(ended)
    judgement = log.judgement
    assert judgement is not None
    assert judgement.votes[0] is ended
    assert [vote.error for vote in judgement.votes] == [None, 'unfinished']


def test_votes_that_share_a_usage_are_all_kept() -> None:
    log, usage = JudgementLog(), RunUsage()
    log.add(Vote(judge='a', value=True, usage=usage))
    log.add(Vote(judge='b', value=True, usage=usage))
    judgement = log.judgement
    assert judgement is not None
    assert [vote.judge for vote in judgement.votes] == ['a', 'b']


def test_the_probability_of_a_call_is_known_before_it_is_over() -> None:
    log, vote = JudgementLog(), Vote(judge='costly')
    log.add(replace(OpenVote(judge='costly', usage=vote.usage, so_far=lambda: vote), probability=0.1))
    judgement = log.judgement
    assert judgement is not None
    assert judgement.votes[0].probability == 0.1


def test_a_call_that_has_just_come_to_something_is_what_it_came_to() -> None:
    log, usage = JudgementLog(), RunUsage()
    said = Vote(judge='strict', value=False, passed=False, usage=usage)
    failed = Vote(judge='strict', error='TimeoutError')
    log.add(OpenVote(judge='strict', usage=usage, so_far=lambda: said))
    log.add(OpenVote(judge='strict', usage=failed.usage, so_far=lambda: failed))
    judgement = log.judgement
    assert judgement is not None
    assert [(vote.value, vote.error) for vote in judgement.votes] == [(False, None), (None, 'TimeoutError')]


def test_a_judgement_costs_what_its_votes_do_and_says_who_answered() -> None:
    usages = [RunUsage(requests=1, cost=Decimal('0.25')), RunUsage(requests=1, cost=Decimal('0.5'))]
    votes = tuple(Vote(judge='strict', usage=usage, model='gpt', duration=1.0) for usage in usages)
    judgement = Judgement(votes=votes)
    assert (judgement.cost, judgement.models) == (Decimal('0.75'), ('gpt',))
    assert Judgement(votes=(replace(votes[0], usage=RunUsage()),)).cost is None
    told = Judgement(votes=(replace(votes[0], reason='It quotes the run'),))
    assert [vote.reason for vote in told.without_content().votes] == [None]

"""The draw: a hash that is uniform over runs and independent between evaluators."""

from collections import Counter
from uuid import UUID

from hypothesis import given, strategies as st

from pydantic_ai_assay.runs.draw import uniform_draw

IDS = [str(UUID(int=number)) for number in range(20_000)]


def chi_square(counts: Counter[int], cells: int, total: int) -> float:
    expected = total / cells
    return sum((counts[cell] - expected) ** 2 / expected for cell in range(cells))


def test_the_draw_of_an_id_is_the_same_for_ever() -> None:
    # Recorded results are replayed by it, so these numbers must not change from one release to the next.
    assert uniform_draw('run-1') == 0.060084619446247434
    assert uniform_draw('run-1', 'Judge:0123456789abcdef') == 0.02793886476498153
    assert uniform_draw('Käse \ud800') == 0.9986892300097804


@given(st.text(), st.text())
def test_the_draw_is_a_number_from_0_to_below_1_that_depends_on_its_arguments_alone(unit: str, evaluator: str) -> None:
    draw = uniform_draw(unit, evaluator)
    assert 0.0 <= draw < 1.0
    assert draw == uniform_draw(unit, evaluator)


@given(st.lists(st.tuples(st.text(), st.text()), unique=True, min_size=2, max_size=2))
def test_different_arguments_are_drawn_differently(pairs: list[tuple[str, str]]) -> None:
    # The separator is a character that no id has; a text that had one could be told from its neighbour no more.
    first, second = (tuple(text.replace('\0', '') for text in pair) for pair in pairs)
    if first != second:
        assert uniform_draw(*first) != uniform_draw(*second)


def test_draws_are_uniform_over_ids() -> None:
    counts = Counter(int(uniform_draw(each, 'Judge') * 100) for each in IDS)
    # The 0.001 and 0.999 quantiles of chi-square with 99 degrees of freedom.
    assert 60 < chi_square(counts, 100, len(IDS)) < 149


def test_draws_of_two_evaluators_are_independent() -> None:
    counts = Counter(int(uniform_draw(each, 'A') * 10) * 10 + int(uniform_draw(each, 'B') * 10) for each in IDS)
    assert 60 < chi_square(counts, 100, len(IDS)) < 149


def test_the_draw_that_evaluators_share_is_independent_of_each_ones_own() -> None:
    counts = Counter(int(uniform_draw(each) * 10) * 10 + int(uniform_draw(each, 'A') * 10) for each in IDS)
    assert 60 < chi_square(counts, 100, len(IDS)) < 149

import pickle

import pytest

from pydantic_ai_assay import AssayError, AssayWarning, ConfigurationError, EvaluatorOutputError, MissingExtraError
from pydantic_ai_assay.errors import describe


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = MissingExtraError('`retries`', 'retries')
    assert str(error) == (
        "`retries` needs the optional dependencies of the extra 'retries': "
        "install them with `pip install 'pydantic-ai-assay[retries]'`."
    )


@pytest.mark.parametrize(
    ('error', 'builtin'),
    [(ConfigurationError, ValueError), (MissingExtraError, ImportError), (EvaluatorOutputError, ValueError)],
)
def test_each_error_is_ours_and_of_the_builtin_kind_it_stands_for(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, AssayError)
    assert issubclass(error, builtin)


def test_the_warning_can_be_filtered_as_a_user_warning() -> None:
    assert issubclass(AssayWarning, UserWarning)
    assert not issubclass(AssayWarning, AssayError)


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(ConfigurationError('queue_size must be an integer of at least 1, got 0.')))
    assert (type(error), str(error)) == (ConfigurationError, 'queue_size must be an integer of at least 1, got 0.')


class Unspeakable(Exception):
    """An error whose text raises."""

    def __init__(self, second: BaseException) -> None:
        self.second = second

    def __str__(self) -> str:
        raise self.second


@pytest.mark.parametrize(
    ('error', 'described'),
    [
        (ValueError('no'), 'ValueError: no'),
        (KeyError('no'), "KeyError: 'no'"),
        (ValueError(), 'ValueError'),
        (ValueError('a' * 1_000), f'ValueError: {"a" * 488}… [512 characters left out]'),
        (
            ValueError('two\r\n\tlines, a bell \a and \x1b[31mred\n'),
            r'ValueError: two lines, a bell \x07 and \x1b[31mred',
        ),
        (ValueError('\u202egnp.exe und Größe'), r'ValueError: \u202egnp.exe und Größe'),
        (Unspeakable(KeyError('no')), 'Unspeakable (its text raised KeyError)'),
        (Unspeakable(SystemExit(3)), 'Unspeakable (its text raised SystemExit)'),
    ],
)
def test_an_error_is_described_by_its_type_and_text(error: Exception, described: str) -> None:
    assert describe(error) == described

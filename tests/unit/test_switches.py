"""The switches of the environment: what they say, what cannot be read, and what asking costs."""

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydantic_ai_assay import AssayWarning, ConfigurationError, switches
from pydantic_ai_assay.switches import SWITCHES, Switches, check_switches, current_switches

from .samples import in_thread

BOOLEANS = ['ASSAY_EVALUATIONS', 'ASSAY_RECORD_CONTENT']


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    current_switches()
    yield
    monkeypatch.undo()
    current_switches()


def value_of(name: str) -> object:
    return getattr(current_switches(), SWITCHES[name])


def test_nothing_is_switched_off_where_nothing_is_set() -> None:
    check_switches()
    assert current_switches() == Switches(evaluations=True, sample_rate=1.0, record_content=True)


@pytest.mark.parametrize('name', BOOLEANS)
@pytest.mark.parametrize(
    ('written', 'meant'),
    [(each, False) for each in ['false', 'False', 'FALSE', '0', 'no', 'off', 'n', 'f']]
    + [(each, True) for each in ['true', 'True', 'TRUE', '1', 'yes', 'on', 'y', 't']],
)
def test_booleans_are_those_that_pydantic_reads(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, meant: bool
) -> None:
    monkeypatch.setenv(name, written)
    check_switches()
    assert value_of(name) is meant


@pytest.mark.parametrize(('written', 'meant'), [('0', 0.0), ('1', 1.0), ('0.1', 0.1), ('1e-3', 0.001), (' 0.5 ', 0.5)])
def test_a_rate_is_a_number_from_0_to_1(monkeypatch: pytest.MonkeyPatch, written: str, meant: float) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', written)
    check_switches()
    assert current_switches().sample_rate == meant


@pytest.mark.parametrize(
    'written', ['nan', 'inf', '-inf', '-0.1', '1.0001', '10', '10%', '0,5', 'true', '', ' ', '1e400']
)
def test_any_other_rate_is_an_error_at_start_up(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', written)
    with pytest.raises(ConfigurationError) as raised:
        check_switches()
    assert str(raised.value) == (
        f'The environment variable ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, got {written!r}.'
    )


@pytest.mark.parametrize('name', BOOLEANS)
@pytest.mark.parametrize('written', ['', ' true', '2', 'null', 'enabled', 'falsch'])
def test_any_other_boolean_is_an_error_at_start_up(monkeypatch: pytest.MonkeyPatch, name: str, written: str) -> None:
    monkeypatch.setenv(name, written)
    with pytest.raises(ConfigurationError) as raised:
        check_switches()
    assert str(raised.value) == (
        f'The environment variable {name} must be one of true, false, yes, no, on, off, t, f, y, n, 1, 0 '
        f'in upper or lower case, got {written!r}.'
    )


def test_every_variable_that_cannot_be_read_is_named_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'maybe')
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '7')
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')
    with pytest.raises(ConfigurationError) as raised:
        check_switches()
    message = str(raised.value)
    assert 'ASSAY_EVALUATIONS must be one of true, false, yes, no, on, off, t, f, y, n, 1, 0' in message
    assert (
        "got 'maybe'. The environment variable ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, got '7'." in message
    )
    assert 'ASSAY_RECORD_CONTENT' not in message


def test_a_long_value_is_cut_and_what_cannot_be_printed_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'a\x1b[31m\n\u202e' + 'x' * 1000)
    with pytest.raises(ConfigurationError) as raised:
        check_switches()
    message = str(raised.value)
    assert message.isprintable()
    assert r"got 'a\x1b[31m\n\u202e" in message
    assert message.endswith("xxx'… [908 characters left out].")


@pytest.mark.skipif(os.name != 'posix', reason='bytes in the environment')
def test_bytes_that_are_no_text_are_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', os.fsdecode(b'\xff'))
    with pytest.raises(ConfigurationError, match=r"got '\\udcff'\.$"):
        check_switches()


def test_names_are_case_sensitive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('assay_evaluations', 'false')
    monkeypatch.setenv('Assay_Sample_Rate', 'maybe')
    monkeypatch.setenv('EVALUATIONS', 'false')
    check_switches()
    # With one that is set, all are looked for.
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')
    check_switches()
    assert current_switches() == Switches(record_content=False)


def test_no_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / '.env').write_text('ASSAY_EVALUATIONS=false\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.5')
    assert current_switches() == Switches(sample_rate=0.5)


def test_a_change_is_seen_by_whatever_asks_next_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    assert not current_switches().evaluations
    assert not in_thread(current_switches).evaluations
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'true')
    assert in_thread(current_switches).evaluations
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.25')
    assert current_switches() == Switches(evaluations=False, sample_rate=0.25)
    monkeypatch.delenv('ASSAY_EVALUATIONS')
    assert current_switches() == Switches(sample_rate=0.25)
    monkeypatch.delenv('ASSAY_SAMPLE_RATE')
    assert current_switches() == Switches()


def test_the_same_object_is_returned_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.5')
    assert current_switches() is current_switches()


def test_another_mapping_in_place_of_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'environ', {'ASSAY_EVALUATIONS': 'off'})
    assert current_switches() == Switches(evaluations=False)


def test_the_last_readable_value_stays_and_one_warning_per_value_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, '_told', {})
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.25')
    assert current_switches().sample_rate == 0.25
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', 'a tenth')
    with pytest.warns(AssayWarning) as warned:
        assert current_switches().sample_rate == 0.25
    assert [str(each.message) for each in warned] == [
        'The environment variable ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, '
        "got 'a tenth'; the last readable value, 0.25, stays."
    ]
    # Warnings are errors here, so none may follow.
    assert current_switches().sample_rate == 0.25
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    assert current_switches() == Switches(evaluations=False, sample_rate=0.25)
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.75')
    assert current_switches().sample_rate == 0.75
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', 'a tenth')
    assert current_switches().sample_rate == 0.75
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '2')
    with pytest.warns(AssayWarning, match="got '2'; the last readable value, 0.75, stays"):
        assert current_switches().sample_rate == 0.75


def test_several_values_that_cannot_be_read_are_warned_of_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, '_told', {})
    for name in SWITCHES.keys() - {'ASSAY_STORE'}:
        monkeypatch.setenv(name, '-')
    with pytest.warns(AssayWarning) as warned:
        assert current_switches() == Switches()
    assert len(warned) == 3


def test_where_warnings_are_errors_the_log_says_it_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(switches, '_told', {})
    monkeypatch.setenv('ASSAY_EVALUATIONS', '?')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert current_switches() == Switches()
    (record,) = caplog.records
    assert "got '?'; the last readable value, True, stays." in record.getMessage()


def test_a_reader_that_fails_is_warned_of_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'pydantic_settings', None)
    monkeypatch.setattr(switches, '_reader', switches._reader.__wrapped__)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    with pytest.warns(AssayWarning, match='were not read: ModuleNotFoundError'):
        assert current_switches() == Switches()
    assert current_switches() == Switches()
    with pytest.raises(ImportError):
        check_switches()


def test_threads_that_ask_while_values_change_get_one_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [number / 100 for number in range(100)]
    seen: list[set[float]] = []
    start, stop = threading.Barrier(5), threading.Event()

    def ask() -> None:
        mine: set[float] = set()
        start.wait(10.0)
        while not stop.is_set():
            mine.add(current_switches().sample_rate)
        seen.append(mine)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait(10.0)
    for rate in rates:
        monkeypatch.setenv('ASSAY_SAMPLE_RATE', str(rate))
        current_switches()
    stop.set()
    for thread in threads:
        thread.join(10.0)
    assert len(seen) == 4
    assert set[float]().union(*seen) <= {*rates, 1.0}
    assert current_switches().sample_rate == rates[-1]


def test_what_reads_the_variables_is_imported_only_where_one_is_set() -> None:
    program = (
        'import sys\n'
        'from pydantic_ai_assay.switches import check_switches, current_switches\n'
        'check_switches()\n'
        'print(current_switches(), "pydantic_settings" in sys.modules)\n'
    )
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}

    def printed(**more: str) -> str:
        return subprocess.run(
            [sys.executable, '-c', program],
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    assert printed() == 'Switches(evaluations=True, sample_rate=1.0, record_content=True) False\n'
    assert printed(ASSAY_SAMPLE_RATE='0.1') == 'Switches(evaluations=True, sample_rate=0.1, record_content=True) True\n'

"""The application that commands are registered with, and what they have in common.

A module of a command imports `app` and registers a function; `main` imports the modules. What a command needs of the rest
of the package it imports when it runs, so that `assay --help` does not wait for it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import AssayError, MissingExtraError
from .output import end_output
from .terminal import print_error

if TYPE_CHECKING:
    from ..store.store import Store

__all__ = ('DEFAULT_STORE', 'EXIT_MISTAKE', 'EXIT_STORE', 'EXIT_UNMET', 'JsonOption', 'StoreOption', 'app', 'opened')

EXIT_UNMET = 1
"""What was asked for does not hold: a bound of `assay report`, a part of `assay check`."""
EXIT_MISTAKE = 2
"""The command line is wrong, or names what there is not."""
EXIT_STORE = 3
"""The store cannot be reached, or has not the tables of this version."""
DEFAULT_STORE = 'sqlite:///assay.db'
_OF_STORE = ('sqlalchemy', 'alembic', 'zstandard')
"""Packages of the extra `store` that commands import before they open one."""

StoreOption = Annotated[
    str,
    typer.Option(
        '--store', envvar='ASSAY_STORE', metavar='URL', help='The store: sqlite:///PATH, or postgresql://HOST/DATABASE.'
    ),
]
JsonOption = Annotated[bool, typer.Option('--json', help='Print JSON, for programs.')]


class Commands(TyperGroup):
    """Answers what goes wrong for a reason a user can act on in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for."""
        try:
            return super().invoke(ctx)
        except AssayError as error:
            print_error(str(error))
            raise typer.Exit(_exit_code(error)) from error
        except ModuleNotFoundError as error:
            if (error.name or '').partition('.')[0] not in _OF_STORE:
                raise
            print_error(str(MissingExtraError('A store', 'store')))
            raise typer.Exit(EXIT_MISTAKE) from error
        except OSError as error:
            # Files and stores are answered by errors of their own: what is left is what is printed.
            end_output(error)


app = typer.Typer(
    name='assay',
    cls=Commands,
    help='What the runs of your agents are worth: reports, runs and their outcomes, from a store.',
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={'help_option_names': ['-h', '--help']},
)


@app.callback()
def assay() -> None:
    """What the runs of your agents are worth: reports, runs and their outcomes, from a store."""


def _exit_code(error: AssayError) -> int:
    from ..store.errors import StoreError, UnknownRunError

    return EXIT_STORE if isinstance(error, StoreError) and not isinstance(error, UnknownRunError) else EXIT_MISTAKE


@contextmanager
def opened(url: str) -> Generator[Store]:
    """The store at a URL, closed at the end.

    Raises:
        ConfigurationError: If it is not the URL of a store.
        MissingExtraError: If the extra `store` is not installed.
    """
    from ..store.opening import open_store

    store = open_store(url)
    try:
        yield store
    finally:
        store.close()

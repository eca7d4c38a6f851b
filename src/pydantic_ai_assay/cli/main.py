"""The beginning of the command: without the packages of the extra, it says so."""

from __future__ import annotations

import sys

from ..errors import MissingExtraError

__all__ = ('main',)


def main() -> None:
    """Run the command line of this process, and end it."""
    try:
        import typer as typer
    except ImportError:
        print(f'error: {MissingExtraError("The assay command", "cli")}', file=sys.stderr)
        raise SystemExit(2) from None
    from .commands import app
    from .output import end_output, print_in_any_encoding

    print_in_any_encoding()
    try:
        app(prog_name='assay')
    finally:
        try:
            # Here it can still be told what went wrong.
            sys.stdout.flush()
        except OSError as error:
            end_output(error)

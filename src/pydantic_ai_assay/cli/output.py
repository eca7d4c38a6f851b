"""Where the command prints to: a terminal or a file of any encoding, and readers that go away."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from io import TextIOWrapper
from typing import NoReturn

__all__ = ('end_output', 'print_in_any_encoding')

EXIT_OUTPUT = 4
"""What was to be printed could not be written."""
EXIT_PIPE = 128 + 13
"""Who read it went away; so do shells count a command that was ended by SIGPIPE."""
_PLAIN = {'│': '|', '─': '-', '…': '...'}
_ERRORS = 'pydantic-ai-assay.plain'


def print_in_any_encoding() -> None:
    """Have this process print what its encoding has no character for as something that looks like it, or as an escape."""
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return ''.join(_PLAIN.get(each) or ascii(each)[1:-1] for each in missing), error.end


def end_output(error: OSError) -> NoReturn:
    """End the command, since nothing can be printed."""
    if error.errno != errno.EPIPE:
        print(f'error: The output cannot be written: {error.strerror}.', file=sys.stderr)
    # Python would try once more at its end, and complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    raise SystemExit(EXIT_PIPE if error.errno == errno.EPIPE else EXIT_OUTPUT)

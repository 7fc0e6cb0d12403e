"""The errors that a user is meant to read: one paragraph each, with the exit code of the command line.

Standard library only, so that any room may import it. Text of a message: where, what was expected, what was
received, what to do.
"""

from __future__ import annotations


class ConvAtlasError(Exception):
    """Something failed that the caller could not have known: a broken file, a dead mirror, a full disk."""

    exit_code = 1


class MisuseError(ConvAtlasError, ValueError):
    """The request itself cannot be: an unknown name, shapes that do not fit, options that exclude each other."""

    exit_code = 2


class MissingExtra(ConvAtlasError):
    """An optional dependency is not installed.

    what: the package or the ability that is missing, as the user would name it. extra: the name of the extra
    in pyproject.toml that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"this needs {what}, which is not installed: pip install 'convatlas[{extra}]'")
        self.what = what
        self.extra = extra

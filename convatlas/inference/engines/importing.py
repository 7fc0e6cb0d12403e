"""Whether an optional package is there and imports; what to type if not."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@cache
def import_problem(packages: tuple[str, ...], extra: str) -> str | None:
    """Why one of the packages cannot be imported, with the command that installs it; None if all can.

    A broken package (a missing library, a wrong ABI) may raise anything on import: all of it is a reason to go on
    without it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install 'convatlas[{extra}]'"
        try:
            importlib.import_module(package)
        except Exception as error:  # noqa: BLE001  see above
            text = " ".join(str(error).split())[:200]
            return f"{package} is broken ({type(error).__name__}: {text}): pip install --force-reinstall {package}"
    return None


def version_of(package: str) -> str:
    """The installed version, "absent" where there is none."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} absent"


@contextmanager
def hushed() -> Iterator[None]:
    """What engines log below an error, on the root logger too, is theirs: their hints name what a user never asked for."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)

"""The other end of a worker: start it, ask it, and end it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from convatlas.errors import ConvAtlasError


class Process:
    """A worker process; `ask` waits for the answer. Its talk is dropped unless `quiet` is False."""

    def __init__(self, *, threads: int | None = None, quiet: bool = True) -> None:
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "convatlas.inference.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            env=environment,
        )

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """One request; ConvAtlasError with the worker's words where it failed or died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            why = " (killed: most likely the machine ran out of memory)" if code == -9 else ""
            raise ConvAtlasError(f"the process that runs the contenders ended with code {code}{why}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConvAtlasError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it is dead already, and what was not sent is lost
                self._process.stdin.close()
        if kind is not None:  # interrupted or failed: what it computes now, nobody waits for
            self._process.kill()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

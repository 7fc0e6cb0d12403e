"""A process in which contenders run: told what to do by lines of JSON, so that rounds can alternate between processes.

Memory and allocator settings of one contender then do not touch another's.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from convatlas.errors import ConvAtlasError
from convatlas.inference.benchmark import contenders, models
from convatlas.inference.timing import SHORT, once, turn


class Worker:
    """Holds a model, images, and the contenders made so far."""

    def __init__(self) -> None:
        self.calls: dict[str, contenders.Call] = {}
        self.expected: dict[str, float] = {}
        # what takes long to make and serves every size of batch: exported and quantized models
        self.made: dict[str, object] = {}

    def model(
        self,
        *,
        library: str,
        name: str,
        images: str,
        state: str | None = None,
        save: str | None = None,
        device: str = "cpu",
    ) -> dict[str, Any]:
        """Make the model; load its weights, or make them sane and save them."""
        start = time.perf_counter()
        self.network = models.make(library, name)
        self.made.clear()
        made = time.perf_counter() - start
        self.images = torch.load(images, weights_only=True)
        if state:
            self.network.load_state_dict(torch.load(state, weights_only=True, mmap=True), assign=True)
        else:
            models.make_sane(self.network, self.images[:16])
        if save:
            torch.save(self.network.state_dict(), save)
        self.device = torch.device(device)
        self.network.to(self.device)
        self.images = self.images.to(self.device)
        return {"seconds": made, "parameters": sum(p.numel() for p in self.network.parameters())}

    def prepare(
        self, *, name: str, kind: str, precision: str, batch: int, seconds: float = 10.0
    ) -> dict[str, Any]:
        """Make one contender, or with kind "ours" all of ours at once."""
        start = time.perf_counter()
        example = self._batch(batch)
        if kind == "ours":
            calls, report = contenders.ours_each(self.network, example, self.images, seconds, self.made)
            self.calls.update({f"{key}, batch {batch}": call for key, call in calls.items()})
            return {
                "seconds": time.perf_counter() - start,
                "made": [f"{key}, batch {batch}" for key in calls],
                "report": report,
            }
        call = contenders.prepare(kind, self.network, example, precision, self.images, seconds, self.made)
        self.calls[name] = call
        self.expected.pop(name, None)
        report = str(getattr(call, "report", ""))
        plan = getattr(call, "plan", None)
        ran = {"ran": "", "ran_precision": ""}
        if plan is not None:
            ran = {"ran": str(plan), "ran_precision": plan.precision}
        elif precision == "auto":
            default = contenders.default_precision(kind)
            ran = {"ran": f"{default}, its default", "ran_precision": default}
        return {"seconds": time.perf_counter() - start, "made": [name], "report": report, **ran}

    def run(self, *, name: str, batch: int) -> dict[str, Any]:
        """Seconds of the calls of one turn (see `timing.turn`), and how many calls it was, those not counted too."""
        example, call = self._batch(batch), self.calls[name]
        if name not in self.expected:
            self.expected[name] = min(once(lambda: call(example), self.device) for _ in range(2))
        seconds = turn(lambda: call(example), self.device, self.expected[name])
        return {"seconds": seconds, "calls": len(seconds) + (self.expected[name] <= SHORT)}

    def answers(self, *, name: str, batch: int) -> dict[str, Any]:
        """The top-1 answers on the images, whole batches of them."""
        usable = len(self.images) // batch * batch or batch
        pieces = self._batch(usable).split(batch)
        return {"top1": [int(i) for piece in pieces for i in self.calls[name](piece).argmax(1)]}

    def reference(self, *, batch: int) -> dict[str, Any]:
        """The top-1 answers of the model itself in float32, on the images that `answers` takes."""
        self.calls["float32 eager"] = contenders.eager(self.network, "float32")
        return self.answers(name="float32 eager", batch=batch)

    def forget_peak(self) -> dict[str, Any]:
        """Count the peak of memory from here on, where the system can."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return {}

    def memory(self) -> dict[str, Any]:
        """Peak memory of this process and of the GPU, in bytes."""
        gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return {"process": _peak_bytes(), "gpu": gpu}

    def drop(self, *, name: str) -> dict[str, Any]:
        """Forget a contender."""
        self.calls.pop(name, None)
        self.expected.pop(name, None)
        return {}

    def _batch(self, count: int) -> torch.Tensor:
        repeats = -(-count // len(self.images))
        return torch.cat([self.images] * repeats)[:count].contiguous()


def _peak_bytes() -> int:
    """Not getrusage's figure on Linux: a process inherits that of the one that started it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def main() -> None:
    """Answer one line of JSON with one line of JSON until stdin ends. What libraries print goes to stderr."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for who started it, and ends it when it is done with it
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except ConvAtlasError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001  one contender that fails must not end the others
            text = " ".join(str(error).split())[:500]
            answer = {"error": f"{type(error).__name__}: {text}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""A step's forward and backward pass as one CUDA graph: a small network's kernels are done before the next is launched.

Launching a kernel from Python costs a CPU five to ten microseconds, as long as many of them run. A graph is recorded
once for inputs of one shape and launched as a whole; it reads its inputs and writes its gradients in the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# passes before the recording: cuDNN and compilers choose their kernels then
_WARM_UP = 3
Pass = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Captured:
    """`run` on inputs like these, recorded; it leaves gradients in the parameters' `.grad`, as the call does.

    run: (inputs, targets) to two scalars, backward pass included. Trying it out moves the buffers (batch norm's
    statistics) and the random numbers, which are put back. Raises RuntimeError where something in it cannot be recorded:
    no gradients are left then.
    """

    def __init__(
        self,
        run: Pass,
        inputs: Tensor,
        targets: Tensor,
        parameters: Sequence[nn.Parameter],
        buffers: Sequence[Tensor],
    ) -> None:
        self.inputs, self.targets = inputs, targets.clone()
        self.parameters = list(parameters)
        self.places = [p.data_ptr() for p in self.parameters]
        before = [b.clone() for b in buffers]
        drawn = torch.cuda.get_rng_state(inputs.device)
        here, aside = torch.cuda.current_stream(inputs.device), torch.cuda.Stream(inputs.device)
        try:
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP):
                    self._forget()
                    run(self.inputs, self.targets)
            here.wait_stream(aside)
            # what is recorded makes the gradients anew, instead of adding to some that are there
            self._forget()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.answer = run(self.inputs, self.targets)
            self.gradients = [p.grad for p in self.parameters]
        except BaseException:
            # a recording that fails at its end leaves its stream the current one
            torch.cuda.set_stream(here)
            here.wait_stream(aside)
            self._forget()
            raise
        finally:
            # as if nothing had been tried: statistics as they were, and dropout draws what it would have drawn
            with torch.no_grad():
                for buffer, old in zip(buffers, before, strict=True):
                    buffer.copy_(old)
            torch.cuda.set_rng_state(drawn, inputs.device)

    def suits(self, inputs: Tensor, targets: Tensor) -> bool:
        """Whether it was recorded for such inputs, and the weights still lie where it reads them."""
        there = [p.data_ptr() for p in self.parameters]
        return key(inputs, targets) == key(self.inputs, self.targets) and there == self.places

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What `run` returns, in memory that the next call writes over."""
        for held, given in ((self.inputs, inputs), (self.targets, targets)):
            if held.data_ptr() != given.data_ptr():
                held.copy_(given)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.answer

    def _forget(self) -> None:
        for p in self.parameters:
            p.grad = None


def key(inputs: Tensor, targets: Tensor) -> tuple[object, ...]:
    """What a recording depends on."""
    return inputs.shape, targets.shape, targets.dtype

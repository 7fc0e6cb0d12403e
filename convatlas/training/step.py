"""One step: augment, forward, backward, on one device or on several threads that share a batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.allocator import keep_memory
from convatlas.data.augment import augment
from convatlas.data.pixels import normalize
from convatlas.data.randomness import batch_generator, mix
from convatlas.define.preprocessing import Preprocessing
from convatlas.training.captured import Captured, key
from convatlas.training.objective import loss_of, right
from convatlas.training.plan import Plan, recordable
from convatlas.training.recipe import Recipe

Result = tuple[Tensor, Tensor]  # summed loss, number right; on the device, so that nobody waits for them


@dataclass(frozen=True)
class Moment:
    """Which step this is: all that its random numbers depend on."""

    seed: int
    epoch: int
    batch: int


class Task(nn.Module):
    """The network and its objective as one module: what DistributedDataParallel and torch.compile wrap."""

    def __init__(self, network: nn.Module, recipe: Recipe, channels_last: bool) -> None:
        super().__init__()
        self.network, self.recipe, self.channels_last = network, recipe, channels_last
        self.heads = bool(getattr(network, "_heads", ()))

    def forward(self, images: Tensor, labels: Tensor) -> Result:
        """(mean loss, number right) of float images (N, C, H, W)."""
        if not len(images):
            return self._nothing(images), labels.new_zeros(())
        logits, aux = self._outputs(images)
        return loss_of(logits, aux, labels, self.recipe), right(logits.detach(), labels)

    def _outputs(self, images: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.heads:
            return self.network.forward_with_aux(images)  # type: ignore[operator]
        return self.network(images), ()

    def _nothing(self, images: Tensor) -> Tensor:
        """A loss of 0 with gradients of 0: of a worker without pictures, for whose gradients the others wait."""
        if self.recipe.sync_batchnorm:  # they wait in every batch norm too, on the way there and back
            logits, aux = self._outputs(images)
            return sum((head.sum() for head in aux), logits.sum())
        return torch.stack([p.sum() for p in self.parameters() if p.requires_grad]).sum() * 0


class Stepper:
    """Runs steps of a model as a plan says; the model's own parameters receive the gradients."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        plan: Plan,
        preprocessing: Preprocessing,
        classes: int,
        device: torch.device,
    ) -> None:
        from convatlas.modules.norm import fuse
        from convatlas.modules.share import share
        from convatlas.modules.thin import thin

        if device.type == "cpu":
            keep_memory()
        self.model, self.recipe, self.plan = model, recipe, plan
        self.preprocessing, self.classes, self.device = preprocessing, classes, device
        self.layout = torch.channels_last if plan.channels_last else torch.contiguous_format
        model.to(memory_format=self.layout)  # type: ignore[call-overload]
        lowered = thin(model) if plan.thin else model
        self.evaluated = lowered
        lowered = fuse(lowered) if plan.fused else lowered
        copies = [lowered, *(share(lowered, parameters=False) for _ in range(plan.replicas - 1))]
        self.tasks: list[nn.Module] = [Task(copy, recipe, plan.channels_last) for copy in copies]
        if plan.compile:
            self.tasks = [torch.compile(task) for task in self.tasks]  # type: ignore[misc]
        self.captured: Captured | None = None
        # of the last step: a graph is recorded when a shape comes twice in a row, not for a batch of its own size
        self.seen: tuple[object, ...] | None = None
        self.capturing = plan.graphs and device.type == "cuda" and recordable(model, recipe)
        self.pool = ThreadPoolExecutor(plan.replicas - 1, "replica") if plan.replicas > 1 else None
        self.generators = [torch.Generator(device=device) for _ in self.tasks]
        self.parameters = [[p for p in task.parameters() if p.requires_grad] for task in self.tasks]
        self.buffers = [[b for b in task.buffers() if b.is_floating_point()] for task in self.tasks]
        # the last step's input, a task: fresh pages cost a CPU more than the arithmetic that fills them
        self.inputs: list[Tensor | None] = [None for _ in self.tasks]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Replicas take one thread each; what was set comes back afterwards."""
        before = torch.get_num_threads()
        if self.device.type == "cpu" and self.plan.threads not in {0, before}:
            torch.set_num_threads(self.plan.threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)

    def close(self) -> None:
        """End the threads; let go of a recorded graph's memory."""
        if self.pool is not None:
            self.pool.shutdown()
        self.captured = None

    def gradients(self, images: Tensor, labels: Tensor, moment: Moment, whole: float | None = None) -> Result:
        """Leave the batch's mean gradient in `.grad`; (summed loss, number right), on the device.

        images: uint8 (N, C, H, W). whole: how many the gradient is a mean of, these by default; workers, whose gradients
        are averaged, give the mean of their shares. Every random number is a function of the moment, in each replica its
        own.
        """
        whole = len(images) if whole is None else whole
        torch.default_generator.manual_seed(mix(moment.seed, moment.epoch, moment.batch, 7) >> 1)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(mix(moment.seed, moment.epoch, moment.batch, 7) >> 1)
        for own in self.parameters:
            for p in own:
                p.grad = None
        parts = self.recipe.accumulate
        if whole < parts * len(self.tasks):
            parts = 1
        total: Result | None = None
        # as many as asked for, in all workers: chunk may give fewer
        pieces = zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)
        for number, (some, theirs) in enumerate(pieces):
            last = number == parts - 1
            found = self._part(some, theirs, moment, number, whole, last=last)
            total = found if total is None else (total[0] + found[0], total[1] + found[1])
        assert total is not None
        self._join(len(self.tasks) if len(images) >= len(self.tasks) else 1)
        return total

    def _part(
        self, images: Tensor, labels: Tensor, moment: Moment, part: int, whole: float, *, last: bool
    ) -> Result:
        if self.pool is None or len(images) < len(self.tasks):
            return self._one(0, images, labels, moment, part, whole, last)
        count = len(self.tasks)
        shares = list(zip(images.tensor_split(count), labels.tensor_split(count), strict=True))
        others: list[Future[Result]] = [
            self.pool.submit(self._one, i, x, y, moment, part, whole, last)
            for i, (x, y) in enumerate(shares)
            if i
        ]
        found = [self._one(0, *shares[0], moment, part, whole, last), *(f.result() for f in others)]
        return sum(f[0] for f in found), sum(f[1] for f in found)  # type: ignore[return-value]

    def _one(
        self, replica: int, images: Tensor, labels: Tensor, moment: Moment, part: int, whole: float, last: bool
    ) -> Result:  # fmt: skip
        task = self.tasks[replica]
        generator = batch_generator(
            mix(moment.seed, part, replica), moment.epoch, moment.batch, self.device, self.generators[replica]
        )
        if len(images):
            inputs, targets = augment(
                images, labels, self.recipe.augmentation, generator, self.preprocessing, self.classes,
                out=self._memory(replica, images),
            )  # fmt: skip
        else:
            inputs, targets = images.float(), labels
        quiet = nullcontext() if last else getattr(task, "no_sync", nullcontext)()
        with quiet:
            loss, correct = self._recorded(inputs, targets) or self._learn(
                task, inputs, targets, len(images) / whole
            )
        # a graph's next run writes over its results
        return loss * len(images), correct.clone() if self.captured is not None else correct

    def _learn(self, task: nn.Module, inputs: Tensor, targets: Tensor, share: float = 1.0) -> Result:
        """Forward and backward: mean loss, number right; the gradient is that of a share of the loss."""
        with self.autocast():
            loss, correct = task(inputs, targets)
        (loss if share == 1 else loss * share).backward()
        return loss.detach(), correct

    def _recorded(self, inputs: Tensor, targets: Tensor) -> Result | None:
        """The same by a CUDA graph; None where there is none for these shapes."""
        if not self.capturing:
            return None
        before, self.seen = self.seen, key(inputs, targets)
        if self.captured is None or not self.captured.suits(inputs, targets):
            if self.seen != before:
                return None
            self.captured = None  # its memory may be needed for the next
            task = self.tasks[0]
            try:
                self.captured = Captured(
                    lambda x, y: self._learn(task, x, y),
                    inputs,
                    targets,
                    self.parameters[0],
                    list(task.buffers()),
                )
            except RuntimeError as error:
                self.capturing = False
                reason = str(error).partition("\n")[0]
                warnings.warn(
                    f"no CUDA graph, so kernels are launched one by one: {reason}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return None
        return self.captured(inputs, targets)

    def _memory(self, replica: int, images: Tensor) -> Tensor:
        """Floats for the input of a step: those of this task's last one, whose backward pass is done."""
        held = self.inputs[replica]
        if held is None or len(held) < len(images) or held.shape[1:] != images.shape[1:]:
            held = torch.empty(
                images.shape, dtype=torch.float32, device=self.device, memory_format=torch.channels_last
            )
            self.inputs[replica] = held
        return held[: len(images)]

    def autocast(self) -> torch.autocast:
        """bf16 arithmetic where the plan says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.precision == "bf16")

    @torch.no_grad()
    def _join(self, count: int) -> None:
        """Add the gradients of the replicas to the model's, in a fixed order, and average their statistics.

        count: how many of them the batch reached.
        """
        if self.pool is None:
            return
        for own in self.parameters[1:count]:
            pairs = [(p, q) for p, q in zip(self.parameters[0], own, strict=True) if q.grad is not None]
            both = [(p.grad, q.grad) for p, q in pairs if p.grad is not None]
            torch._foreach_add_([p for p, _ in both], [q for _, q in both])  # type: ignore[misc]
            for p, q in pairs:
                if p.grad is None:  # of a block that the first one dropped
                    p.grad = q.grad
        if self.buffers[0]:
            for statistics in self.buffers[1:count]:
                torch._foreach_add_(self.buffers[0], statistics)
            torch._foreach_div_(self.buffers[0], count)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Give the replicas the model's statistics: after a checkpoint was loaded into it."""
        if not self.buffers[0]:
            return
        for own in self.buffers[1:]:
            torch._foreach_copy_(own, self.buffers[0])

    @torch.no_grad()
    def logits(self, images: Tensor, model: nn.Module | None = None) -> Tensor:
        """What the network, in evaluation mode, makes of bytes (N, C, H, W); float32."""
        net = self.evaluated if model is None else model
        inputs = normalize(images, self.preprocessing)
        if self.plan.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            return net(inputs).float()

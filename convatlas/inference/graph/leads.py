"""By how much a first class leads, and how many images to expect whose lead an error overcomes.

Of a hundred images that are answered, one or two change: too few to tell 97 % from 99 %. How far the leads moved is
known of every image, and how densely leads lie near zero of all of them together; their product is the share of
further images that will change. Published MobileNet 0.25 and SqueezeNet in int8, with 0 to 26 layers float32: what 64
photos of ten classes predict is within a third of what 250 photos of a thousand classes show, in the mean.
"""

from __future__ import annotations

from torch import Tensor

# leads count as near zero up to this quantile: narrow, since leads lie denser there, and still of some images
NEAR = 0.1


def leads(logits: Tensor, classes: Tensor | None = None) -> Tensor:
    """By how much these classes (n,), or else the first ones, lead over the best other one, (n,); below 0 they do not."""
    if classes is None:
        classes = logits.argmax(1)
    index = classes.unsqueeze(1)
    others = logits.scatter(1, index, float("-inf")).amax(1)
    return logits.gather(1, index).squeeze(1) - others


def density(known: Tensor) -> float:
    """Of leads (n,), the share that lies within one unit above zero, as the ones near zero say."""
    return float(NEAR / known.quantile(NEAR).clamp_min(1e-12))


def changed_by(moved: Tensor, known: Tensor) -> float:
    """The share of answers to expect changed where leads move by these amounts (m,); known: leads (n,) before."""
    return min(1.0, density(known) * float((-moved).clamp_min(0).mean()))


def expected_changes(reference: Tensor, answer: Tensor, known: Tensor) -> float:
    """The share of further images whose first class `answer` will change, by logits (n, classes) of some of them."""
    first = reference.argmax(1)
    return changed_by(leads(answer.to(reference), first) - leads(reference, first), known)

"""Pixels and features of one batch, each computed at most once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from adc.interfaces import (
    Batch,
    Discriminator,
    FeatureSpace,
    Loss,
    Prompt,
    ScoreDiscriminator,
    Source,
    Student,
    Teacher,
)
from adc.teacher_cache.teacher import UnknownClipError
from adc.training.guard import check_scalar

DOMAINS = ("feature", "pixel")


def weighted(loss: Loss, prediction: Tensor, target: Tensor) -> Tensor:
    """A loss times its weight.

    Raises:
        ValueError: If it is no scalar tensor; the message names the loss.
    """
    value = loss(prediction, target)
    check_scalar(f"losses: {type(loss).__name__}", value)
    return loss.weight * value


def head_logits(discriminator: Discriminator | ScoreDiscriminator, *views: Any) -> dict[str, Tensor]:
    """The logits of a discriminator by head.

    Args:
        discriminator: The discriminator.
        views: What it takes.

    Raises:
        ValueError: If it does not give one tensor for each of its heads; the message names it.
    """
    logits: Any = discriminator(*views)
    heads = ", ".join(discriminator.heads)
    if not isinstance(logits, Mapping):
        found = f"a {type(logits).__name__}"
    elif set(cast(Mapping[str, Any], logits)) != set(discriminator.heads):
        found = f"logits for {', '.join(map(str, cast(Mapping[str, Any], logits))) or 'no head'}"
    else:
        return cast(dict[str, Tensor], logits)
    raise ValueError(f"{type(discriminator).__name__}: gave {found}; it must give logits for each head: {heads}.")


class Views:
    """Pixels and features that student, teacher and ground truth have of one batch; each is computed at most once.

    Only the student's predictions carry gradients. The teacher's decoder is skipped (`Teacher.features`)
    unless its pixels are needed as well. A caller that asks for the teacher or for features has passed them.
    """

    def __init__(
        self,
        batch: Batch,
        student: Student,
        teacher: Teacher | None = None,
        space: FeatureSpace | None = None,
        prompt: Prompt | None = None,
        teacher_domains: Collection[str] = DOMAINS,
    ) -> None:
        """
        Args:
            batch: Keys ``lr``, ``hr``, ``name``.
            student: Computes the predictions, which carry gradients.
            teacher: Computes the targets ``target("teacher", ...)``.
            space: Maps pixels and latents to features.
            prompt: Text embeddings for teacher and discriminators.
            teacher_domains: The domains in which the teacher will be compared.
        """
        self.batch = batch
        self._student = student
        self._teacher, self._space = cast(Teacher, teacher), cast(FeatureSpace, space)
        self._views: dict[tuple[str, str], Tensor] = {}
        self._teacher_domains = set(teacher_domains)
        with torch.no_grad():
            self._condition = None if prompt is None else prompt(batch)

    def prediction(self, domain: str) -> Tensor:
        """The student's features, or the pixels decoded from them."""
        if domain == "feature":
            return self._once("student", domain, lambda: self._student.encode(self.batch["lr"]))
        lr: dict[str, Any] = {"lr": self.batch["lr"]} if self._student.decoder_sees_lr else {}
        return self._once("student", domain, lambda: self._student.decode(self.prediction("feature"), **lr))

    @torch.no_grad()
    def target(self, against: str, domain: str) -> Tensor:
        """The view of ``teacher`` or ``real``, without gradients."""
        if against == "real":
            return self._once(against, domain, lambda: self._embed(self.batch["hr"], domain))
        if (against, domain) not in self._views:
            try:
                self._run_teacher(domain)
            except UnknownClipError as unknown:
                raise unknown.with_name(self.batch["name"]) from None
        return self._views[against, domain]

    @torch.no_grad()
    def example(self, source: Source, domain: str) -> Tensor:
        """The view of a source's clip, which is made once for this batch."""
        return self._once(f"source {id(source)}", domain, lambda: self._embed(self._clip(source), domain))

    def logits(self, discriminator: Discriminator, view: Tensor) -> dict[str, Tensor]:
        """A discriminator's logits of a view, by head."""
        return head_logits(discriminator, view, self._condition)

    def _run_teacher(self, domain: str) -> None:
        teacher, lr = self._teacher, self.batch["lr"]
        takes = teacher.takes_prompt and self._condition is not None
        kwargs: dict[str, Any] = {"prompt": self._condition} if takes else {}
        if self._teacher_domains.issuperset(DOMAINS):
            pixel, feature = teacher.restore_with_features(lr, self._space, **kwargs)
            self._views |= {("teacher", "pixel"): pixel, ("teacher", "feature"): feature}
        elif domain == "pixel":
            self._views["teacher", domain] = teacher.restore(lr, **kwargs)
        else:
            self._views["teacher", domain] = teacher.features(lr, self._space, **kwargs)

    def _clip(self, source: Source) -> Tensor:
        return self._once(f"source {id(source)}", "pixel", lambda: source(self.batch))

    def _embed(self, clip: Tensor, domain: str) -> Tensor:
        return clip if domain == "pixel" else self._space.embed(clip)

    def _once(self, owner: str, domain: str, compute: Callable[[], Tensor]) -> Tensor:
        key = owner, domain
        if key not in self._views:
            self._views[key] = compute()
        return self._views[key]

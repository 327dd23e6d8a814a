"""One batch, seen as pixels and as features."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import torch
from torch import Tensor

from adc.interfaces import Discriminator, FeatureSpace, Prompt, Source, Student, Teacher
from adc.teacher_cache.teacher import UnknownClipError

DOMAINS = ("feature", "pixel")


class Views:
    """What student, teacher and truth make of one batch; each view is computed at most once.

    Only the student's views carry gradients. The teacher's features skip its decoder (`Teacher.features`)
    unless pixels are compared with the teacher's as well.
    Whoever asks for the teacher or for features has named them.
    """

    def __init__(
        self,
        batch: dict[str, Any],
        student: Student,
        teacher: Teacher | None = None,
        space: FeatureSpace | None = None,
        prompt: Prompt | None = None,
        taught: Collection[str] = DOMAINS,
    ) -> None:
        """
        Args:
            batch: Keys ``lr``, ``hr``, ``name``.
            student: Makes the views that carry gradients.
            teacher: Makes the views ``of("teacher", ...)``.
            space: Maps pixels and latents to features.
            prompt: Makes what teacher and discriminators are told.
            taught: The domains in which the teacher will be asked.
        """
        self.batch = batch
        self._student = student
        self._teacher, self._space = cast(Teacher, teacher), cast(FeatureSpace, space)
        self._seen: dict[tuple[str, str], Tensor] = {}
        self._taught = set(taught)
        with torch.no_grad():
            self._told = {} if prompt is None else {"prompt": prompt(batch)}

    def student(self, domain: str) -> Tensor:
        """The student's features, or the pixels it makes of them."""
        if domain == "feature":
            return self._once("student", domain, lambda: self._student.encode(self.batch["lr"]))
        return self._once("student", domain, lambda: self._student.decode(self.student("feature")))

    @torch.no_grad()
    def of(self, who: str, domain: str) -> Tensor:
        """The view of ``teacher`` or ``real``, without gradients."""
        if who == "real":
            return self._once(who, domain, lambda: self._embed(self.batch["hr"], domain))
        if (who, domain) not in self._seen:
            self._ask_teacher(domain)
        return self._seen[who, domain]

    @torch.no_grad()
    def shown(self, source: Source, domain: str) -> Tensor:
        """A clip of a source, made for this batch once."""
        return self._once(f"source {id(source)}", domain, lambda: self._embed(self._clip(source), domain))

    def judged(self, critic: Discriminator, view: Tensor) -> dict[str, Tensor]:
        """A discriminator's logits of a view."""
        return critic(view, **self._told) if critic.takes_prompt else critic(view)

    def _ask_teacher(self, domain: str) -> None:
        try:
            self._hear_teacher(domain)
        except UnknownClipError as unknown:
            raise unknown.named(self.batch["name"]) from None

    def _hear_teacher(self, domain: str) -> None:
        teacher, lr = self._teacher, self.batch["lr"]
        told: dict[str, Any] = self._told if teacher.takes_prompt else {}
        if self._taught.issuperset(DOMAINS):
            pixel, feature = teacher.restore_with_features(lr, self._space, **told)
            self._seen |= {("teacher", "pixel"): pixel, ("teacher", "feature"): feature}
        elif domain == "pixel":
            self._seen["teacher", domain] = teacher.restore(lr, **told)
        else:
            self._seen["teacher", domain] = teacher.features(lr, self._space, **told)

    def _clip(self, source: Source) -> Tensor:
        return self._once(f"source {id(source)}", "pixel", lambda: source(self.batch))

    def _embed(self, clip: Tensor, domain: str) -> Tensor:
        return clip if domain == "pixel" else self._space.embed(clip)

    def _once(self, who: str, domain: str, make: Any) -> Tensor:
        key = who, domain
        if key not in self._seen:
            self._seen[key] = make()
        return self._seen[key]

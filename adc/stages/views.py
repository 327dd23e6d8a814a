"""One batch, seen as pixels and as features."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from adc.interfaces import FeatureSpace, Source, Student, Teacher

DOMAINS = ("feature", "pixel")


class Views:
    """What student, teacher and truth make of one batch; each view is computed at most once.

    Only the student's views carry gradients. The teacher's features skip its decoder (`Teacher.features`).
    Whoever asks for the teacher or for features has named them.
    """

    def __init__(
        self, batch: dict[str, Any], student: Student, teacher: Teacher | None = None, space: FeatureSpace | None = None
    ) -> None:
        self.batch = batch
        self._student = student
        self._teacher, self._space = cast(Teacher, teacher), cast(FeatureSpace, space)
        self._seen: dict[tuple[str, str], Tensor] = {}

    def student(self, domain: str) -> Tensor:
        """The student's features, or the pixels it makes of them."""
        if domain == "feature":
            return self._once("student", domain, lambda: self._student.encode(self.batch["lr"]))
        return self._once("student", domain, lambda: self._student.decode(self.student("feature")))

    def of(self, who: str, domain: str) -> Tensor:
        """The view of ``teacher`` or ``real``, without gradients."""
        with torch.no_grad():
            if who == "real":
                return self._once(who, domain, lambda: self._embed(self.batch["hr"], domain))
            if domain == "pixel":
                return self._once(who, domain, lambda: self._teacher.restore(self.batch["lr"]))
            return self._once(who, domain, lambda: self._teacher.features(self.batch["lr"], self._space))

    @torch.no_grad()
    def shown(self, source: Source, domain: str) -> Tensor:
        """A clip of a source, made for this batch once."""
        return self._once(f"source {id(source)}", domain, lambda: self._embed(self._clip(source), domain))

    def _clip(self, source: Source) -> Tensor:
        return self._once(f"source {id(source)}", "pixel", lambda: source(self.batch))

    def _embed(self, clip: Tensor, domain: str) -> Tensor:
        return clip if domain == "pixel" else self._space.embed(clip)

    def _once(self, who: str, domain: str, make: Any) -> Tensor:
        key = who, domain
        if key not in self._seen:
            self._seen[key] = make()
        return self._seen[key]

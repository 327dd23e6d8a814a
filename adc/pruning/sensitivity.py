"""How much of a student's result changes where sections of it are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adc.interfaces import Student
from adc.ops.modes import evaluating
from adc.progress import track
from adc.pruning.allocation import Curve, fit_curve
from adc.pruning.ranking import Ranking
from adc.pruning.sections import Section, pruned_copy

RATIOS = (0.125, 0.25, 0.5)
"""Where errors are measured; beyond, they say more of what is left than of the section."""


@dataclass(frozen=True)
class Sensitivity:
    """The relative squared errors of a student's result, one section of it cut.

    Attributes:
        section: What is cut.
        ratios: How much of it; what its units and heads allow near `RATIOS`.
        errors: ``|f' - f|^2 / |f|^2`` at each of them.
    """

    section: Section
    ratios: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def curve(self) -> Curve:
        """The errors at other ratios."""
        return fit_curve(self.ratios, self.errors)


class Reference:
    """What a student restores of clips, with which cut ones are compared."""

    def __init__(self, student: Student, clips: Sequence[Tensor]) -> None:
        self.clips = clips
        self.results = _restored(student, clips)
        self.power = sum(float(result.square().sum(dtype=torch.float64)) for result in self.results) or 1.0

    def error(self, student: Student) -> float:
        """The relative squared error of a student."""
        results = _restored(student, self.clips)
        pairs = zip(results, self.results, strict=True)
        return sum(float((one - other).square().sum(dtype=torch.float64)) for one, other in pairs) / self.power


def _restored(student: Student, clips: Sequence[Tensor]) -> list[Tensor]:
    place = next(student.parameters())
    with evaluating(student), torch.no_grad():
        return [student.restore(clip.to(place)).float() for clip in clips]


def measure_sensitivities(
    student: Student, ranking: Ranking, sections: Sequence[Section], clips: Sequence[Tensor]
) -> list[Sensitivity]:
    """Cut each section alone, and compare what the student restores.

    Args:
        student: The unpruned student, which stays as it is.
        ranking: Which of its channels go first.
        sections: What is cut.
        clips: LR clips ``(B, T, 3, h, w)`` in ``[-1, 1]``.
    """
    reference, found = Reference(student, clips), []
    with track("measuring sensitivities", len(sections), "sections") as bar:
        for section in sections:
            ratios, errors = _points(section), []
            for ratio in ratios:
                copied = pruned_copy(student, ranking, ranking.untried(section.ratios(ratio)))
                errors.append(reference.error(copied))
            found.append(Sensitivity(section, ratios, tuple(errors)))
            bar.advance()
    return found


def _points(section: Section) -> tuple[float, ...]:
    steps = section.size // section.step
    kept = {max(1, round(steps * (1 - ratio))) * section.step for ratio in RATIOS} - {section.size}
    return tuple(section.ratio(units) for units in sorted(kept, reverse=True))

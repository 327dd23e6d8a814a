"""Adversarial distillation of features and pixels: AdcSR's second stage, AdcVSR's both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from adc.interfaces import Batch, Discriminator, FeatureSpace, Loss, Prompt, Restorer, Source, Student, Teacher
from adc.ops import gan
from adc.stages.views import DOMAINS, Views, weighted
from adc.training import Losses, Phase, Role, Stage, enable_gradient_checkpointing, unique_names
from adc.training.heads import log_heads


@dataclass
class Example:
    """A kind of clip in the discriminators' batches, and its labels.

    Args:
        labels: For each head 1 (real), -1 (fake) or 0 (this head gets no term of it at all).
        source: Where the clip comes from; null is the student's own output.
    """

    labels: dict[str, Literal[-1, 0, 1]]
    source: Source | None = None


class AdversarialDistillation(Stage):
    """Adversarial feature and pixel distillation (AdcSR stage 2, AdcVSR; Chen et al., 2025).

    With student ``G``, teacher ``T``, discriminators ``D`` and heads ``h``, a step minimises

    - for the student: ``sum of losses(G, T or truth) + sum_D,h w_D generator_loss(D_h(G))``;
    - for the discriminators: ``sum_D,h,kind discriminator_loss(D_h(kind), label[kind, h])`` over the kinds
      whose label is not 0, on the student's output of the same step, detached.

    The table of examples is the method: AdcSR has two rows (student -1, real +1) and one head,
    AdcVSR five rows and two heads in two domains.
    """

    frozen = excluded_from_checkpoint = ("teacher", "space", "prompt", "losses")
    prepare_with_gradients = True

    def __init__(
        self,
        student: Student,
        losses: list[Loss],
        roles: dict[str, Role],
        teacher: Teacher | None = None,
        space: FeatureSpace | None = None,
        prompt: Prompt | None = None,
        discriminators: list[Discriminator] | None = None,
        examples: dict[str, Example] | None = None,
        adversarial: gan.Form = "non_saturating",
        adversarial_weight: float | dict[str, float] = 1.0,
        frozen: list[str] | None = None,
        gradient_checkpointing: bool = False,
        cycle: list[list[str]] | None = None,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The network to train.
            losses: Distillation and reconstruction losses of the student.
            roles: The optimizers of ``student`` and, if there are any, ``discriminators``.
            teacher: The frozen network to imitate; null if no loss is against it.
            space: Maps pixels and latents to the features that the student produces; null if nothing is compared there.
            prompt: Text embeddings for teacher and discriminators; null: each uses its own default embedding.
            discriminators: The discriminators; heads of the same name share their labels.
            examples: The clips that discriminators learn from and their labels, by kind.
            adversarial: The form of the adversarial loss.
            adversarial_weight: Its weight beside ``losses``: one number, or one for each domain of the
                discriminators (AdcVSR: ``{pixel: 0.1, feature: 1.0}``).
            frozen: Parts of the student that keep their weights, as attribute paths (``decoder``).
            gradient_checkpointing: Recompute activations of the student and the discriminators in the backward pass
                instead of keeping them: less memory for about a third more time.
            cycle: The phases of each successive batch; null is ``[[student, discriminators]]``, the
                discriminators on the student's output before its update.
            accumulate: Batches whose gradients are averaged in one update.
        """
        discriminators = discriminators or []
        usual = [["student", "discriminators"] if discriminators else ["student"]]
        super().__init__(roles, usual if cycle is None else cycle, accumulate)
        self.student, self.teacher, self.space, self.prompt = student, teacher, space, prompt
        self.losses = cast(list[Loss], nn.ModuleList(losses))
        self.discriminators = cast(list[Discriminator], nn.ModuleList(discriminators))
        self.examples = examples or {}
        self.adversarial: gan.Form = adversarial
        self.adversarial_weight = self._by_domain(adversarial_weight)
        self.freeze_parts("student", frozen or ())
        if gradient_checkpointing:
            enable_gradient_checkpointing(student, *discriminators)
        self._check_table()

    def phases(self) -> Mapping[str, Phase]:
        """The student's, and the discriminators' if there are any."""
        phases = {"student": Phase(self.student_loss, ("student",))}
        if len(self.discriminators):
            phases["discriminators"] = Phase(self.discriminators_loss, ("discriminators",))
        return phases

    @property
    def restorer(self) -> Restorer:
        """The student."""
        return self.student

    def prepare(self, batch: Batch) -> Views:
        """Views that both phases share; the student's forward runs before either phase, with its gradients on."""
        teacher_domains = {loss.domain for loss in self.losses if loss.against == "teacher"}
        views = Views(batch, self.student, self.teacher, self.space, self.prompt, teacher_domains)
        if "student" in self.active_phases:
            for part in (*self.losses, *self.discriminators):
                views.prediction(part.domain)
        return views

    def student_loss(self, views: Views) -> Losses:
        """Distillation terms, and the adversarial term of each head."""
        return unique_names(self._student_terms(views))

    def _student_terms(self, views: Views) -> Iterator[tuple[str, Tensor]]:
        for loss in self.losses:
            value = weighted(loss, views.prediction(loss.domain), views.target(loss.against, loss.domain))
            yield f"{type(loss).__name__}_{loss.domain}_{loss.against}", value
        for discriminator in self.discriminators:
            for head, logits in views.logits(discriminator, views.prediction(discriminator.domain)).items():
                value = gan.generator_loss(logits, self.adversarial)
                yield f"adv_{discriminator.domain}_{head}", self.adversarial_weight[discriminator.domain] * value

    def discriminators_loss(self, views: Views) -> Losses:
        """The loss of every head on every kind that has a label for it."""
        return unique_names(self._discriminators_terms(views))

    def _discriminators_terms(self, views: Views) -> Iterator[tuple[str, Tensor]]:
        heads: list[tuple[str, list[tuple[Tensor, int]]]] = []
        for discriminator in self.discriminators:
            found: dict[str, list[tuple[Tensor, int]]] = {head: [] for head in discriminator.heads}
            heads += [(f"{discriminator.domain}_{head}", pairs) for head, pairs in found.items()]
            for kind, example in self.examples.items():
                labels = {head: example.labels[head] for head in discriminator.heads if example.labels[head]}
                if not labels:
                    continue
                logits = views.logits(discriminator, self._example(example, discriminator.domain, views))
                for head, label in labels.items():
                    found[head].append((logits[head], label))
                    yield (
                        f"{discriminator.domain}_{head}_{kind}",
                        gan.discriminator_loss(logits[head], label, self.adversarial),
                    )
        log_heads(self, unique_names(heads))

    @staticmethod
    def _example(example: Example, domain: Any, views: Views) -> Tensor:
        return views.prediction(domain).detach() if example.source is None else views.example(example.source, domain)

    @torch.no_grad()
    def head_logits(self, clip: Tensor, batch: Batch) -> Iterator[tuple[str, str, Tensor]]:
        """Logits of every head for a clip ``(B, T, 3, H, W)`` that belongs to a batch: (domain, head, logits)."""
        views = Views({**batch, "hr": clip}, self.student, self.teacher, self.space, self.prompt)
        for discriminator in self.discriminators:
            for head, logits in views.logits(discriminator, views.target("real", discriminator.domain)).items():
                yield discriminator.domain, head, logits

    def _by_domain(self, weight: float | dict[str, float]) -> dict[str, float]:
        domains = {discriminator.domain for discriminator in self.discriminators}
        if not isinstance(weight, dict):
            return dict.fromkeys(domains, weight)
        for domain in sorted(domains ^ set(weight)):
            state = "has no number for" if domain in domains else "has a number for"
            known = " and ".join(sorted(domains)) or "nothing"
            raise ValueError(f"adversarial_weight: {state} {domain!r}; the discriminators' domains: {known}.")
        return weight

    def _check_table(self) -> None:
        for discriminator in self.discriminators:
            if discriminator.domain not in DOMAINS:
                kind, known = type(discriminator).__name__, " and ".join(DOMAINS)
                raise ValueError(
                    f"discriminators: {kind} has the domain {discriminator.domain}; this stage has {known}."
                )
        heads = {head for discriminator in self.discriminators for head in discriminator.heads}
        for kind, example in self.examples.items():
            for head in heads ^ set(example.labels):
                state = "no label for" if head in heads else "a label for"
                known = ", ".join(sorted(heads)) or "none"
                raise ValueError(f"examples.{kind}.labels: {state} head {head!r}; the discriminators' heads: {known}.")
        for head in heads:
            given = {example.labels[head] for example in self.examples.values()}
            if not {-1, 1} <= given:
                raise ValueError(f"examples: head {head!r} needs a kind labelled 1 and one labelled -1.")
        domains = {loss.domain for loss in self.losses} | {
            discriminator.domain for discriminator in self.discriminators
        }
        if "feature" in domains and self.space is None:
            raise ValueError("space: features are compared, but there is no feature space; name one.")
        if self.teacher is None and any(loss.against == "teacher" for loss in self.losses):
            raise ValueError("teacher: a loss is against the teacher, but there is none; name one.")
        teacher_takes_it = self.teacher is not None and self.teacher.takes_prompt
        if self.prompt is not None and not (teacher_takes_it or len(self.discriminators)):
            raise ValueError("prompt: the teacher takes none and there is no discriminator; leave it out.")

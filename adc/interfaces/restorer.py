"""Networks that turn a small clip into a large one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from adc.interfaces.latent import FeatureSpace


class Restorer(nn.Module, ABC):
    """A clip in, a larger clip out.

    Clips are RGB floats in ``[-1, 1]`` of shape ``(B, T, 3, H, W)``; an image is a clip of one
    frame. The result lies on the input's device and carries gradients if the input or a
    parameter asks for them. It need not be clamped.

    Attributes:
        scale: How many times larger the result is, in height and in width.
    """

    scale: int = 4

    @abstractmethod
    def restore(self, lr: Tensor) -> Tensor:
        """Upscale a clip.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``; any ``h`` and ``w`` of at least 16.

        Returns:
            ``(B, T, 3, scale * h, scale * w)``.
        """

    def forward(self, lr: Tensor) -> Tensor:
        """The same as `restore`."""
        return self.restore(lr)


class Teacher(Restorer):
    """A frozen restorer that a student imitates.

    A stage freezes its parameters and keeps it in evaluation mode.

    Attributes:
        takes_prompt: Whether `restore`, `features` and `restore_with_features` take the keyword
            ``prompt``, the embeddings that a `Prompt` made of the batch; without it such a teacher
            uses its own.
    """

    takes_prompt: bool = False

    def features(self, lr: Tensor, space: FeatureSpace) -> Tensor:
        """What the teacher makes of a clip, in the space in which students are compared.

        Override it when the teacher has something cheaper than pixels to offer: a latent
        teacher returns ``space.lift(latent)`` and never runs its decoder. ``adc cache`` keeps the
        tensor that is given to the space, so it refuses a teacher that does more than return what
        one call of `FeatureSpace.project_latents` or `FeatureSpace.embed` makes.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``.
            space: The student's feature space.

        Returns:
            ``(B, T, C, h', w')``, the shape that the student's `Student.encode` has.
        """
        return space.embed(self.restore(lr))

    def restore_with_features(self, lr: Tensor, space: FeatureSpace) -> tuple[Tensor, Tensor]:
        """Both views at once, for stages that compare both.

        Override it together with `features`.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``.
            space: The student's feature space.

        Returns:
            What `restore` and `features` return.
        """
        pixels = self.restore(lr)
        return pixels, space.embed(pixels)


@dataclass
class Prunable:
    """What a pruner needs to know of a student.

    Attributes:
        network: The student as one network of images, ``(B, 3, h, w)`` in, pixels out.
        example: Its arguments, each as small as the strides allow.
        parts: Submodules of `network` that may be given a ratio of their own, by name. A layer
            belongs to the last part listed that holds it.
        ignored: Layers whose own output channels stay (pixels out, for one).
    """

    network: nn.Module
    example: tuple[Tensor, ...]
    parts: dict[str, nn.Module]
    ignored: list[nn.Module] = field(default_factory=list)


class Student(Restorer):
    """A restorer in two halves, trained on what lies between them.

    Attributes:
        decoder: The part that ``DecoderPretraining`` trains: turns projected latents into pixels.
    """

    decoder: nn.Module

    @abstractmethod
    def encode(self, lr: Tensor) -> Tensor:
        """The first half: ``(B, T, 3, h, w)`` in ``[-1, 1]`` to features ``(B, T, C, h', w')``."""

    @abstractmethod
    def decode(self, feature: Tensor) -> Tensor:
        """The second half: features to pixels ``(B, T, 3, scale * h, scale * w)``."""

    def restore(self, lr: Tensor) -> Tensor:
        """Both halves in a row."""
        return self.decode(self.encode(lr))

    def decode_latents(self, projected: Tensor) -> Tensor:
        """Pixels from a codec's latents by the student's own decoder.

        Args:
            projected: ``codec.project(codec.encode(pixels))``, ``(B, T, Z, h', w')``.

        Returns:
            ``(B, T, 3, H, W)``, about ``[-1, 1]``.

        Raises:
            NotImplementedError: If the student holds no latent decoder.
        """
        raise NotImplementedError(f"{type(self).__name__} has no decoder of latents to pretrain.")

    def sync_from_decoder(self) -> None:
        """Take over what other parts of the student are copies of, once the decoder has been pretrained.

        Called before the student is shown or written; by default there are no copies.
        """

    def prunable(self) -> Prunable:
        """Describe the student to ``adc prune``.

        Raises:
            NotImplementedError: If this student cannot be pruned.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is pruned: implement prunable().")

"""Super-resolution networks: restorers, teachers and students."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Generator, Tensor, nn

if TYPE_CHECKING:
    from adc.interfaces.latent import FeatureSpace

ColorMatching = Literal["none", "adain", "wavelet"]
"""What a result takes over from the colours of LR; `adc.ops.color.match_colors` has the formulas."""


def color_matching(value: Any, place: str) -> ColorMatching:
    """A value of `Restorer.color_matching` that was read from a file.

    Raises:
        ValueError: If there is no such kind; the message begins with the place.
    """
    if value not in get_args(ColorMatching):
        raise ValueError(f"{place}: color_matching is {value!r}; there are {', '.join(get_args(ColorMatching))}.")
    return value


class Restorer(nn.Module, ABC):
    """A super-resolution network: an LR clip in, an HR clip out.

    Clips are RGB floats in ``[-1, 1]`` of shape ``(B, T, 3, H, W)``; an image is a clip of one
    frame. The result lies on the input's device and carries gradients if the input or a
    parameter asks for them. It need not be clamped.

    Attributes:
        scale: How many times larger the result is, in height and in width.
        temporal_context: Frames before and after a frame on which its result depends.
        temporal_stride: It computes with ``1 + n * k`` frames of this ``k``; `restore` pads other lengths to it.
        multiple: The sides of LR that it computes with; `restore` pads others to it.
        color_matching: What its whole result usually takes over from the colours of LR, after `restore`, which does
            not do it: ``adc upscale``, `adc.load` and exports follow it. A student folder keeps it.
        init_args: The constructor's arguments as plain data, with which a student folder makes it again; null if
            it cannot be written as one. A network among them, such as a denoiser, has ``init_args`` itself.
    """

    scale: int = 4
    temporal_context: int = 0
    temporal_stride: int = 1
    multiple: int = 1
    color_matching: ColorMatching = "none"
    init_args: Any = None

    @abstractmethod
    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Super-resolve a clip.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``; any ``h`` and ``w`` of at least 16.
            generator: The only source of randomness: the same state gives the same clip, another one another
                candidate. Null is always the same clip. One that draws nothing takes it and leaves it alone.

        Returns:
            ``(B, T, 3, scale * h, scale * w)``.
        """

    def restore_tiles(self, lr: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        """Super-resolve parts of larger clips, as tiling cuts them; of whole clips the same as `restore`.

        A restorer that draws at random overrides it: what it draws belongs to a place in the clip, so that tiles have
        the same where they overlap.

        Args:
            lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``.
            places: For each tile the row and the column of its first pixel in its clip.

        Returns:
            ``(B, T, 3, scale * h, scale * w)``.
        """
        return self.restore(lr)

    def forward(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """The same as `restore`."""
        return self.restore(lr) if generator is None else self.restore(lr, generator)


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
        """The teacher's features of a clip, in the space in which students are compared.

        Override it when the teacher has something cheaper than pixels to offer: a latent
        teacher returns ``space.project_latents(latent)`` and never runs its decoder. ``adc cache`` keeps the
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
    """A student as a network that can be traced, and what of it is pruned.

    Attributes:
        network: The student as one network of images, ``(B, 3, h, w)`` in, pixels out; or features ``(B, T', C, h',
            w')``, where nothing behind them is cut; or several results, as a tuple.
        example: Its arguments, each as small as the strides allow.
        parts: Submodules of `network` that may be given a ratio of their own, by name. A layer
            belongs to the last part listed that holds it.
        ignored: Layers whose own output channels stay (pixels out, for one).
        blocks: Layers whose output channels stay or go in consecutive blocks of so many: heads that cannot be narrowed.
        after: Called after the cut; it puts right what modules remember of their widths (``scale`` of a norm).
        heads: Layers whose output channels are split into so many heads of attention, each of which keeps as many.
            Attention in diffusers' names (``heads``, ``to_q``, ``to_k``, ``to_v``) is known without it.
        tried: Whether cuts are tried on a copy, so that channels which the network counts or mixes (heads, windows)
            stay without being named; the example then holds pixels that differ. Otherwise such a cut is an error.
        alike: Pairs of submodules that are built alike and stay so: where ratios are found, layers of both share one.
    """

    network: nn.Module
    example: tuple[Tensor, ...]
    parts: dict[str, nn.Module]
    ignored: list[nn.Module] = field(default_factory=list[nn.Module])
    blocks: dict[nn.Module, int] = field(default_factory=dict[nn.Module, int])
    after: Callable[[], None] = lambda: None
    heads: dict[nn.Module, int] = field(default_factory=dict[nn.Module, int])
    tried: bool = False
    alike: list[tuple[nn.Module, nn.Module]] = field(default_factory=list[tuple[nn.Module, nn.Module]])


class Student(Restorer):
    """A restorer in two halves, trained on the features between them.

    Attributes:
        decoder_sees_lr: Whether the second half needs the LR clip: `decode` then takes the keyword ``lr``, the clip
            that was encoded, and `LatentStudent.decode_latents` that of the pixels.
    """

    decoder_sees_lr: bool = False

    @abstractmethod
    def encode(self, lr: Tensor) -> Tensor:
        """The first half: ``(B, T, 3, h, w)`` in ``[-1, 1]`` to features ``(B, T', C, h', w')``.

        ``T'`` is ``T`` unless the student has a temporal stride; then the clip is padded like its sides.
        """

    @abstractmethod
    def decode(self, feature: Tensor) -> Tensor:
        """The second half: features to pixels ``(B, T, 3, scale * h, scale * w)``, padding included."""

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Both halves in a row."""
        return self.decode(self.encode(lr))

    def summary(self) -> str:
        """The network in a few words, for people: its architecture; the class's name unless a class says more."""
        return type(self).__name__

    def prunable(self) -> Prunable:
        """The student's network and parts for ``adc prune``.

        Raises:
            NotImplementedError: If this student cannot be pruned.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be pruned: implement prunable().")


class LatentStudent(Student):
    """A student that holds a decoder of an autoencoder's latents, for ``DecoderPretraining`` (AdcSR stage 1).

    Attributes:
        decoder: The network that is pretrained; None if this student has none of its own.
    """

    decoder: nn.Module | None

    @abstractmethod
    def decode_latents(self, projected: Tensor) -> Tensor:
        """Pixels of an autoencoder's latents by the student's own decoder.

        With ``decoder_sees_lr`` it takes the keyword ``lr`` too, the LR clip ``(B, T, 3, h, w)`` of these pixels.

        Args:
            projected: ``autoencoder.to_decoder_input(autoencoder.encode(pixels))``, ``(B, T', Z, h', w')``.

        Returns:
            ``(B, T, 3, H, W)``, about ``[-1, 1]``.
        """

    def sync_from_decoder(self) -> None:
        """Copy pretrained decoder weights into modules that are initialised from it (AdcSR: the middle block).

        Called before the student is validated or written; by default there are none.
        """

"""What makes an image network one of videos: convolutions over frames between its layers."""

from __future__ import annotations

from typing import Any, Literal

from adc_sd21 import AdcSRStudent
from adc_sd21.after import After
from torch import Tensor, nn

from adc.ops.clip import per_position

Places = Literal["layers", "blocks", "none"]


class TemporalBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with convolutions of three frames; the second begins at zero, so that ``x`` passes.

    Before the first frame and after the last one are zeros.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, padding=1)
        self.second = nn.Conv1d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, clip: Tensor) -> Tensor:
        """``(B, T, C, h, w)`` to the same."""
        return clip + per_position(lambda series: self.second(self.first(series).relu()), clip)


class TemporalBlocks(nn.Module):
    """A temporal block behind each of some layers of a network of images; the other layers have none."""

    def __init__(self, channels: dict[str, int]) -> None:
        """
        Args:
            channels: How many channels a layer returns, by its path in the network.
        """
        super().__init__()
        self.blocks = nn.ModuleDict({_key(path): TemporalBlock(width) for path, width in channels.items()})

    def over(self, frames: int) -> After:
        """What is applied to the images ``(B * frames, C, h, w)`` that a layer returns."""

        def apply(path: str, x: Tensor) -> Tensor:
            if _key(path) not in self.blocks:
                return x
            return self.blocks[_key(path)](x.unflatten(0, (-1, frames))).flatten(0, 1)

        return apply


def _key(path: str) -> str:
    """A module's name has no dots."""
    return path.replace(".", "_")


def channels_of(student: AdcSRStudent, places: Places) -> dict[str, int]:
    """The layers of a student that temporal blocks follow, by path, with the channels that they return.

    Args:
        student: Of any widths.
        places: Every residual block and every attention (``layers``), or each residual block together
            with its attention (``blocks``), or nothing.
    """
    unet: Any = student.unet
    blocks: dict[str, Any] = {
        **{f"unet.down_blocks.{index}": block for index, block in enumerate(unet.down_blocks)},
        "unet.mid_block": unet.mid_block,
        **{f"unet.up_blocks.{index}": block for index, block in enumerate(unet.up_blocks)},
        "mid_block": student.mid_block,
    }
    found: dict[str, int] = {}
    for path, block in blocks.items():
        attentions = len(getattr(block, "attentions", ()))
        for index, resnet in enumerate(block.resnets):
            behind = ["resnets", "attentions"] if index < attentions else ["resnets"]
            kinds = {"layers": behind, "blocks": behind[-1:], "none": []}[places]
            found |= {f"{path}.{kind}.{index}": resnet.conv2.out_channels for kind in kinds}
    return found

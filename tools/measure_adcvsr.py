"""Measures a training step of AdcVSR's second stage at full size: seconds, memory, clips per second.

python tools/measure_adcvsr.py --frames 5 --size 256                               (a CPU, 64 x 64 to 256 x 256)
python tools/measure_adcvsr.py --device gpu --frames 25 --size 512 --precision bf16-mixed \
    --gradient-checkpointing --teacher dove

The networks have random numbers: a step costs the same. A camera moves over bundled photos, degraded as the recipe
says. Without --teacher dove the teacher's answers are there already, as from `adc cache`; DISTS, whose weights are a
download, is left out. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys

import torch
from adc_sd21 import DecoderStem, SDAutoencoder
from adc_video import DOVE, AdcVSRStudent, ClipDiscriminator, ConvNeXtBackbone, StudentUNetBackbone
from measure_adcsr import arguments, measure
from torch import Generator, Tensor

from adc.data import DegradedClips, Real, ShuffledFrames, Slideshow, StillImage
from adc.degradation import VideoDegradation
from adc.interfaces import Teacher
from adc.losses import L1
from adc.ops.clip import upsample_bicubic
from adc.stages import AdversarialDistillation, Example
from adc.training import Role


class Answered(Teacher):
    """Stands for a teacher that was asked before: it enlarges, which costs nothing beside a step."""

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Bicubic."""
        return upsample_bicubic(lr, self.scale)


def build(teacher: Teacher, gradient_checkpointing: bool) -> AdversarialDistillation:
    """The stage of recipes/adcvsr/2_adversarial.yaml with random numbers."""
    torch.manual_seed(0)
    student = AdcVSRStudent()
    return AdversarialDistillation(
        student=student,
        losses=[L1("feature", "teacher", 1.0), L1("pixel", "teacher", 0.1)],
        roles={
            "student": Role(lambda parameters: torch.optim.Adam(parameters, lr=1e-4, fused=True)),
            "discriminators": Role(lambda parameters: torch.optim.Adam(parameters, lr=1e-7)),
        },
        teacher=teacher,
        space=DecoderStem(student, SDAutoencoder()),
        discriminators=[
            ClipDiscriminator(ConvNeXtBackbone()),
            ClipDiscriminator(StudentUNetBackbone(AdcVSRStudent())),
        ],
        examples={
            "student": Example({"detail": -1, "consistency": -1}),
            "video": Example({"detail": 0, "consistency": 1}, Real()),
            "shuffled": Example({"detail": 0, "consistency": -1}, ShuffledFrames()),
            "still": Example({"detail": 1, "consistency": 1}, StillImage()),
            "slideshow": Example({"detail": 1, "consistency": -1}, Slideshow()),
        },
        adversarial_weight={"pixel": 0.1, "feature": 1.0},
        gradient_checkpointing=gradient_checkpointing,
    )


def main(argv: list[str] | None = None) -> int:
    """Measure, and print."""
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=5, help="frames of a clip (5)")
    parser.add_argument("--teacher", choices=("answered", "dove"), default="answered", help="who answers (answered)")
    options = parser.parse_args(argv)
    data = DegradedClips(
        VideoDegradation(),
        options.batch,
        stills=True,
        frames=options.frames,
        size=options.size,
        small="reflect",
        workers=options.workers,
    )
    teacher = DOVE() if options.teacher == "dove" else Answered()
    print(json.dumps(measure(build(teacher, options.gradient_checkpointing), data, options), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

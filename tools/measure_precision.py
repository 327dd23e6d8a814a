"""Measures what precision costs in a one-step teacher's target: errors of its answer and of its restored latent.

python tools/measure_precision.py                                    (the teacher that ships with adc, trained)
python tools/measure_precision.py --teacher random --size 32         (OSEDiff at full size, random numbers)
python tools/measure_precision.py --teacher weights/osediff --device cuda

Errors are relative to float32 without TF32: the norm of the difference by the norm. ``encoded`` is the encoder's
latent, ``noise`` the UNet's answer to the latent of float32, ``target`` the restored latent (encoder, UNet and closed
form together), ``noise, at step 999`` the error that the answer's alone becomes in the target there, if noise and
target are as large as each other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any, cast, get_args

import torch
from adc_sd21 import OSEDiff
from torch import Tensor

from adc.data.bundled import training_photos
from adc.media.images import read_image, to_frame
from adc.ops.clip import upsample_bicubic
from adc.ops.diffusion import scaled_linear_alphas
from adc.ops.precision import Precision, computing_in

LAST_STEP = 999


def teacher_of(name: str) -> OSEDiff:
    """The teacher of a folder, or one of the published size with random numbers, whose noise is as large as white."""
    if name != "random":
        return OSEDiff(name).eval()
    torch.manual_seed(0)
    teacher = OSEDiff().eval()
    torch.nn.init.normal_(cast(Any, teacher.unet).conv_out.weight, std=(9 * 320) ** -0.5)
    return teacher


def photos(size: int, number: int) -> Tensor:
    """The middles of bundled photos as LR, ``(N, 1, 3, size, size)`` in ``[-1, 1]``."""
    found: list[Tensor] = []
    for path in training_photos()[:number]:
        frame = to_frame(read_image(path))
        top, left = (frame.shape[-2] - size) // 2, (frame.shape[-1] - size) // 2
        found.append(frame[..., top : top + size, left : left + size])
    return torch.stack(found)[:, None]


@torch.no_grad()
def errors(teacher: OSEDiff, lr: Tensor) -> Iterator[tuple[str, float, float, float, float]]:
    """For each precision the relative errors of z, of the noise and of the target, and that of step 999."""
    teacher.precision = "float32"
    prompt = teacher._prompt_of(lr, None)
    exact = teacher.latent(lr)
    with computing_in("float32", lr.device):
        z = _encoded(teacher, lr)
        noise = teacher.unet(z, teacher.timestep, prompt).sample
    left = scaled_linear_alphas()[LAST_STEP].item()
    for precision in get_args(Precision):
        teacher.precision = precision
        with computing_in(precision, lr.device):
            rounded = teacher.unet(z, teacher.timestep, prompt).sample.float()
            encoded = _encoded(teacher, lr).float()
        wrong = relative(rounded, noise)
        yield precision, relative(encoded, z), wrong, relative(teacher.latent(lr), exact), wrong * (1 / left - 1) ** 0.5


def _encoded(teacher: OSEDiff, lr: Tensor) -> Tensor:
    encoder = teacher.autoencoder.vae if teacher.encoder is None else teacher.encoder
    return encoder(upsample_bicubic(lr, teacher.scale)[:, 0]) * teacher.autoencoder.config["scaling_factor"]


def relative(found: Tensor, exact: Tensor) -> float:
    """The norm of the difference by the norm."""
    return ((found.double() - exact.double()).norm() / exact.double().norm()).item()


def main(argv: list[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="demo", help="an OSEDiff folder, demo, or random for the published size")
    parser.add_argument("--size", type=int, default=48, help="sides of the LR photos (48)")
    parser.add_argument("--photos", type=int, default=2, help="how many of them (2)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(argv)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    teacher = teacher_of(options.teacher).to(options.device)
    lr = photos(options.size, options.photos).to(options.device)
    print(f"{options.teacher}, step {teacher.timestep}, {len(lr)} photos of {options.size}x{options.size}")
    print("| precision | encoded | noise | target | noise, at step 999 |\n|---|---|---|---|---|")
    for precision, *row in errors(teacher, lr):
        print(f"| {precision} | " + " | ".join(f"{value:.5f}" for value in row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How much a student loses by pruning, before any training, under each importance.

python tools/compare_importance.py

The student that starts from the teacher which ships with adc is cut, and its answers to the bundled
validation photos are compared with those it gave before: the UNet's features (relative error
|f - f'| / |f|) where only the UNet is cut, the decoder's pixels where only the decoder is cut.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from adc_sd21 import AdcSRStudent, SDAutoencoder
from torch import Tensor

from adc.data import DegradedClips
from adc.degradation import BicubicDown
from adc.pruning import Importance, Magnitude, Prefix, Taylor, prune

NOISE = (15.0, 30.0)
IMPORTANCES: dict[str, Callable[[], Importance]] = {
    "Prefix (published)": Prefix,
    "Prefix, aligned": lambda: Prefix(aligned=True),
    "Magnitude": Magnitude,
    "Taylor": Taylor,
}


def compare(folder: str, ratios: dict[str, float], say: Callable[[str], Any]) -> dict[str, dict[str, float]]:
    """Relative errors by importance and by the part that was cut.

    Args:
        folder: What `AdcSRStudent` starts from.
        ratios: What is cut of ``unet`` and of ``decoder``, one at a time.
        say: Called with a line of progress.
    """
    validation = DegradedClips(BicubicDown(noise_sigma=NOISE), 1, validation_size=256).validation_set()
    batches = [validation[index] for index in range(len(validation))]
    autoencoder = SDAutoencoder(folder).eval()
    answer: dict[str, Callable[[AdcSRStudent, dict[str, Any]], Tensor]] = {
        "unet": lambda student, batch: student.encode(batch["lr"][None]),
        "decoder": lambda student, batch: student.decode_latents(
            autoencoder.to_decoder_input(autoencoder.encode(batch["hr"][None]))
        ),
    }
    with torch.inference_mode():
        whole = AdcSRStudent(folder).eval()
        before = {part: [answer[part](whole, batch) for batch in batches] for part in ratios}
    errors: dict[str, dict[str, float]] = {}
    for name, make in IMPORTANCES.items():
        errors[name] = {}
        for part, ratio in ratios.items():
            say(f"{name}: {part}")
            student = AdcSRStudent(folder).eval()
            prune(student, {part: ratio}, make(), _calibration())
            with torch.inference_mode():
                after = [answer[part](student.eval(), batch) for batch in batches]
            errors[name][part] = sum(map(_error, before[part], after)) / len(batches)
    return errors


def _error(before: Tensor, after: Tensor) -> float:
    return ((before - after).norm() / before.norm()).item()


def _calibration() -> Iterator[Tensor]:
    clips = DegradedClips(BicubicDown(noise_sigma=NOISE), 1, size=128).training_set()
    for position in range(64):
        yield clips[position, position % len(clips)]["lr"][None]


def main(argv: list[str] | None = None) -> int:
    """Print the table, and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="demo", help="what the student starts from (demo)")
    parser.add_argument("--unet", type=float, default=0.25, help="share of the UNet's channels that goes (0.25)")
    parser.add_argument("--decoder", type=float, default=0.5, help="share of the decoder's channels that goes (0.5)")
    options = parser.parse_args(argv)
    ratios = {"unet": options.unet, "decoder": options.decoder}
    errors = compare(options.folder, ratios, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"| importance | features, UNet cut by {options.unet:.0%} | pixels, decoder cut by {options.decoder:.0%} |")
    print("|---|---|---|")
    for name, row in errors.items():
        print(f"| {name} | {row['unet']:.3f} | {row['decoder']:.3f} |")
    print(json.dumps(errors))
    return 0


if __name__ == "__main__":
    sys.exit(main())

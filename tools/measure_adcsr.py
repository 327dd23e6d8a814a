"""Measures a training step of AdcSR's second stage at full size: seconds, memory, steps per second.

python tools/measure_adcsr.py --batch 1 --size 128 --precision 32-true            (a CPU)
python tools/measure_adcsr.py --device gpu --batch 12 --size 512 --precision bf16-mixed

The networks have random numbers: a step costs the same. Bundled photos are degraded as the recipe says.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from typing import Any

import lightning.pytorch as pl
import torch
from adc_sd21 import AdcSRStudent, DecoderStem, OSEDiff, SDAutoencoder, UNetDiscriminator, published

from adc.data import ClipData, DegradedClips, Real
from adc.degradation import SecondOrder
from adc.losses import L1
from adc.stages import AdversarialDistillation, Example
from adc.training import Role


class Clock(pl.Callback):
    """Notes when batches begin and end, and stops after enough of them."""

    def __init__(self, steps: int, warmup: int) -> None:
        """
        Args:
            steps: Steps that count.
            warmup: Steps before them that do not.
        """
        self.wanted, self.warmup = steps + warmup, warmup
        self.seconds: list[float] = []
        self.losses: dict[str, float] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start."""
        self._wait()
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop, and keep the losses."""
        self._wait()
        self.seconds.append(time.perf_counter() - self._start)
        self.losses = {key: float(value) for key, value in trainer.callback_metrics.items() if "/" in key}
        trainer.should_stop = len(self.seconds) >= self.wanted

    @staticmethod
    def _wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def build(gradient_checkpointing: bool) -> AdversarialDistillation:
    """The stage of recipes/adcsr/2_distill.yaml with random numbers."""
    torch.manual_seed(0)
    student = AdcSRStudent(vae=published.STUDENT_VAE, unet=published.STUDENT_UNET)
    return AdversarialDistillation(
        student=student,
        losses=[L1(domain="feature", against="teacher")],
        roles={
            "student": Role(lambda parameters: torch.optim.Adam(parameters, lr=1e-4, fused=True)),
            "discriminators": Role(lambda parameters: torch.optim.Adam(parameters, lr=1e-6)),
        },
        teacher=OSEDiff(),
        space=DecoderStem(student, SDAutoencoder()),
        discriminators=[UNetDiscriminator(channels=256)],
        examples={"student": Example({"realism": -1}), "real": Example({"realism": 1}, Real())},
        frozen=["decoder"],
        gradient_checkpointing=gradient_checkpointing,
    )


def measure(stage: AdversarialDistillation, data: ClipData, options: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps of a stage."""
    clock = Clock(options.steps, options.warmup)
    with tempfile.TemporaryDirectory() as home:
        trainer = pl.Trainer(
            default_root_dir=home,
            accelerator=options.device,
            devices=1,
            precision=options.precision,
            max_epochs=-1,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )
        trainer.fit(stage, data)
    counted = clock.seconds[options.warmup :]
    on_gpu = options.device == "gpu"
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        **vars(options),
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds_per_step": statistics.median(counted),
        "pictures_per_second": options.batch / statistics.median(counted),
        "peak_memory_gib": peak / 2**30,
        "losses": clock.losses,
    }


def arguments(text: str | None) -> argparse.ArgumentParser:
    """What every measurement takes."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--batch", type=int, default=1, help="clips in a step (1)")
    parser.add_argument("--size", type=int, default=128, help="side of the large picture (128)")
    parser.add_argument("--precision", default="32-true", help="Lightning's: 32-true, bf16-mixed, 16-mixed")
    parser.add_argument("--steps", type=int, default=3, help="steps that count (3)")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them (1)")
    parser.add_argument("--workers", type=int, default=0, help="processes that load (0)")
    parser.add_argument(
        "--gradient-checkpointing", action="store_true", help="recompute activations instead of keeping them"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measure, and print."""
    options = arguments(__doc__).parse_args(argv)
    data = DegradedClips(
        SecondOrder("adcsr"), options.batch, size=options.size, small="reflect", workers=options.workers
    )
    print(json.dumps(measure(build(options.gradient_checkpointing), data, options), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

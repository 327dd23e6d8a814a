"""Images in the logs of a run: what each kind of logger takes them as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CometLogger, CSVLogger, Logger, MLFlowLogger
from torch import Tensor

from adc.media.images import write_image


def log_image(logger: Logger, key: str, image: Tensor, step: int) -> bool:
    """Log an image ``(3, H, W)`` in ``[0, 1]``; whether the logger takes images.

    TensorBoard gets it as it is, W&B and what has its ``log_image`` a list of one, MLflow and Comet an array
    ``(H, W, 3)`` of bytes, and beside the table of a `CSVLogger` a PNG file is written.
    """
    experiment: Any = getattr(logger, "experiment", None)
    if hasattr(experiment, "add_image"):
        experiment.add_image(key, image, step)
        return True
    pixels = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()
    if isinstance(logger, CSVLogger):
        path = Path(logger.log_dir, f"{key}_{step:08d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, pixels)
    elif isinstance(logger, MLFlowLogger):
        experiment.log_image(logger.run_id, pixels, f"{key}_{step:08d}.png")
    elif isinstance(logger, CometLogger):
        experiment.log_image(pixels, name=key, step=step)
    elif callable(log := getattr(logger, "log_image", None)):
        log(key=key, images=[pixels], step=step)
    else:
        return False
    return True

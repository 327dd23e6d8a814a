"""Images in the logs of a run: real files of CSVLogger and TensorBoard, and loggers of the interface of the others."""

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CometLogger, CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch.utils.data import DataLoader
from training import regression, trainer

from adc import progress
from adc.evaluation.loss_curves import read_curves
from adc.media.images import read_image
from adc.training.callbacks import Samples
from adc.training.image_logs import log_image

IMAGE = torch.tensor([0.0, 0.5, 1.0])[:, None, None].expand(3, 4, 6)
BYTES = np.broadcast_to(np.array([0, 128, 255], np.uint8), (4, 6, 3))


class Called:
    """What a client library is asked to log."""

    def __init__(self):
        self.calls = []

    def log_image(self, *arguments, **options):
        self.calls.append((arguments, options))


class Bare(Logger):
    """A logger that takes numbers only."""

    name = version = "bare"

    def __init__(self):
        self.client = Called()

    @property
    def experiment(self):
        return self.client

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *arguments, **options):
        pass


class MLflow(Bare, MLFlowLogger):
    run_id = "run"


class Comet(Bare, CometLogger):
    pass


class Wandb(Bare, WandbLogger):
    def log_image(self, key, images, step=None, **options):
        self.client.log_image(key, images, step)


@pytest.mark.parametrize(
    ("kind", "before", "after", "options"),
    [
        (MLflow, ["run"], ["validation/grid_00000007.png"], {}),
        (Comet, [], [], {"name": "validation/grid", "step": 7}),
        (Wandb, ["validation/grid"], [7], {}),
    ],
)
def test_clients_are_asked_as_they_take_images(kind, before, after, options):
    logger = kind()
    assert log_image(logger, "validation/grid", IMAGE, 7)
    ((arguments, given),) = logger.client.calls
    image = arguments[len(before)]
    assert np.array_equal(image[0] if kind is Wandb else image, BYTES)
    assert [*arguments[: len(before)], *arguments[len(before) + 1 :]] == [*before, *after]
    assert given == options


def test_the_interface_of_wandb_is_as_lightning_has_it():
    import inspect

    assert list(inspect.signature(WandbLogger.log_image).parameters)[:4] == ["self", "key", "images", "step"]


def validated(tmp_path, *loggers):
    """A stage that is validated three times under some loggers."""
    clips = [{"lr": torch.zeros(1, 3, 16, 16), "hr": torch.zeros(1, 3, 64, 64), "name": "a"}]
    run = trainer(None, [Samples(clips=1, size=32)], limit_val_batches=1.0, logger=list(loggers))
    for _ in range(3):
        run.validate(regression(), DataLoader(clips, batch_size=1), verbose=False)


def test_samples_go_to_every_logger(tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board, table, bare = TensorBoardLogger(tmp_path / "board"), CSVLogger(tmp_path / "table"), Bare()
    with progress.visible():
        validated(tmp_path, board, table, bare)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("adc: ")]
    assert said == ["adc: Samples: Bare takes no images; TensorBoardLogger and CSVLogger do."]
    events = EventAccumulator(board.log_dir)
    events.Reload()
    assert events.Tags()["images"] == ["validation/bicubic_restored_truth"]
    (path,) = (tmp_path / "table").rglob("*.png")
    assert str(path).endswith("/validation/bicubic_restored_truth_00000000.png") and str(path).startswith(table.log_dir)
    assert read_image(path).shape == (32, 96, 3)


def test_curves_of_both_kinds_of_logs(tmp_path):
    table, board = CSVLogger(tmp_path, name="logs", version=""), TensorBoardLogger(tmp_path, name="more")
    for step in range(4):
        table.log_metrics({"student/L1": 4.0 - step, "updates/student": step, "epoch": 0}, step)
        table.log_metrics({"validation/psnr": 20.0 + step}, step)
        board.log_metrics({"student/other": 1.0 + step}, step)
    table.save()
    board.finalize("success")
    curves = read_curves(tmp_path)
    assert curves == {
        "student/L1": [(0.0, 4.0), (1.0, 3.0), (2.0, 2.0), (3.0, 1.0)],
        "student/other": [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)],
        "validation/psnr": [(0.0, 20.0), (1.0, 21.0), (2.0, 22.0), (3.0, 23.0)],
    }


def test_of_two_files_the_newer_counts_and_damaged_cells_do_not(tmp_path):
    import os

    for name, text, moment in (
        ("new", "step,a,epoch\n1,5,0\n2,6,0\n", 2000),
        ("old", "step,a\n0,1\n1,2\nx,9\n3,nan\n4,\n5,1,1\n", 1000),
        ("other", "a,b\n1,2\n", 3000),
    ):
        path = tmp_path / name / "metrics.csv"
        path.parent.mkdir()
        path.write_text(text)
        os.utime(path, (moment, moment))
    assert read_curves(tmp_path) == {"a": [(0.0, 1.0), (1.0, 5.0), (2.0, 6.0), (5.0, 1.0)]}

import logging
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from adc.data import Camera, ClipData, DegradedClips, PairedClips
from adc.degradation import BicubicDown, SecondOrder
from adc.media.images import write_image


@pytest.fixture
def folder(tmp_path):
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 56, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{index}.png", pixels)
    return str(tmp_path / "photos")


def names(data, stage):
    data.setup(stage)
    chosen = data._training_set if stage == "fit" else data._validation_set
    return [file.name for file in chosen.maker.files]


@pytest.mark.parametrize("camera", [None, Camera()])
def test_a_folder_is_divided_into_training_and_validation(folder, camera):
    data = DegradedClips(BicubicDown(2), 1, folder, validation_split=2, size=16, workers=0, multiple=8, camera=camera)
    assert names(data, "fit") == ["0", "2", "4"]
    assert names(data, "validate") == ["1", "3"]
    assert len(data.val_dataloader()) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"validation_split": -1}, "validation_split: -1 files; at least 0"),
        ({"validation_split": 1}, "validation_split: divides train_dir; name one"),
        ({"validation_split": 1, "train_dir": "a", "val_dir": "b"}, "and no val_dir"),
    ],
)
def test_a_division_of_nothing_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        DegradedClips(BicubicDown(2), 1, size=16, **options)


def test_validation_leaves_something_to_train_on(folder):
    with pytest.raises(ValueError, match=r"validation_split: 5 files, but .* holds 5; leave some"):
        DegradedClips(BicubicDown(2), 1, folder, validation_split=5, size=16).setup("fit")


class Counting(LightningModule):
    """Remembers what it is shown; counts batches as a stage does."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches_seen, self.seen, self.validated = 0, [], []

    def training_step(self, batch, index):
        self.batches_seen += 1
        self.seen.append(batch)
        return self.weight * batch["lr"].mean()

    def validation_step(self, batch, index):
        self.validated.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint):
        self.batches_seen = checkpoint["batches"]


class SaveAt(Callback):
    def __init__(self, batch, path):
        self.batch, self.path = batch, path

    def on_train_batch_end(self, trainer, module, *rest):
        if module.batches_seen == self.batch:
            trainer.save_checkpoint(self.path)


def fit(data, steps, tmp_path, resume=None, callbacks=()):
    module = Counting()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=2,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module


def degraded(folder, **options):
    settings = {"batch_size": 3, "train_dir": folder, "val_dir": folder, "size": 16, "workers": 0, "multiple": 2}
    return DegradedClips(SecondOrder(), **(settings | options))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_what_comes_next(folder, tmp_path, workers):
    path = tmp_path / "a.ckpt"
    randint = fit(degraded(folder, workers=workers), 8, tmp_path, callbacks=[SaveAt(5, path)])
    assert torch.load(path, weights_only=True)["DegradedClips"] == {"position": 15}
    data = degraded(folder, workers=workers)
    rest = fit(data, 8, tmp_path, resume=path)
    assert len(rest.seen) == 3 and data.position == 24
    for ours, theirs in zip(rest.seen, randint.seen[5:], strict=True):
        assert torch.equal(ours["lr"], theirs["lr"]) and ours["name"] == theirs["name"]


def test_the_position_survives_a_second_resume_and_another_batch_size(folder, tmp_path):
    fit(degraded(folder), 4, tmp_path, callbacks=[SaveAt(4, tmp_path / "a.ckpt")])
    again = degraded(folder, batch_size=2)
    resumed = fit(again, 7, tmp_path, tmp_path / "a.ckpt", [SaveAt(6, tmp_path / "b.ckpt")])
    assert torch.load(tmp_path / "b.ckpt", weights_only=True)["DegradedClips"] == {"position": 4 * 3 + 2 * 2}
    last = fit(degraded(folder, batch_size=2), 7, tmp_path, tmp_path / "b.ckpt")
    assert torch.equal(last.seen[0]["lr"], resumed.seen[2]["lr"])


def test_two_processes_share_position_and_clips(folder):
    joint = degraded(folder, batch_size=4)
    joint.setup("fit")
    expected = list(islice(joint.train_dataloader(), 4))
    for rank in range(2):
        data, stage = degraded(folder, batch_size=2), SimpleNamespace(batches_seen=7)
        device = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(lightning_module=stage, global_rank=rank, world_size=2, strategy=device)
        data.setup("fit")
        data.load_state_dict({"position": 8})
        seen = list(islice(data.train_dataloader(), 2))
        assert all(
            torch.equal(ours["lr"], theirs["lr"][rank::2]) for ours, theirs in zip(seen, expected[2:], strict=True)
        )
        stage.batches_seen = 9
        assert data.state_dict() == {"position": 16}


def test_validation_is_in_order_one_clip_at_a_time_and_repeats(folder, tmp_path):
    module = fit(degraded(folder, validation_size=24), 4, tmp_path)
    assert [batch["name"] for batch in module.validated] == [[str(index)] for index in range(5)] * 2
    assert module.validated[0]["hr"].shape == (1, 1, 3, 24, 24)
    assert all(torch.equal(a["lr"], b["lr"]) for a, b in zip(module.validated[:5], module.validated[5:], strict=True))


def test_batches_have_the_agreed_shape(folder):
    data = degraded(folder)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["lr"].shape == (3, 1, 3, 4, 4) and batch["hr"].shape == (3, 1, 3, 16, 16)
    assert isinstance(batch["name"], list) and len(batch["name"]) == 3
    assert data.state_dict() == {"position": 0}


def test_skipped_files_are_named_at_the_end(folder, caplog):
    Path(folder, "3.png").write_text("")
    data = degraded(folder, broken="skip", val_dir=None, validation_limit=1)
    data.setup("fit")
    for _, _ in zip(range(2), data.train_dataloader(), strict=False):
        pass
    with caplog.at_level(logging.WARNING):
        data.teardown("fit")
    assert f"1 broken files were skipped (decoding 1): {folder}/3.png" in caplog.text


def test_an_error_of_a_worker_reaches_the_caller_as_it_was_raised(folder, tmp_path):
    with pytest.raises(ValueError, match=r"^\S+\.png: 56x40 pixels are smaller than the crop .*file\.$"):
        fit(degraded(folder, size=48, workers=1), 2, tmp_path)


def test_pairs(folder, tmp_path):
    for path in (tmp_path / "photos").iterdir():
        pixels = np.zeros((10, 14, 3), np.uint8)
        write_image(tmp_path / "small" / path.name, pixels)
    data = PairedClips(str(tmp_path / "small"), folder, batch_size=2, size=16, workers=0)
    assert isinstance(data, ClipData)
    module = fit(data, 2, tmp_path)
    assert module.seen[0]["hr"].shape == (2, 1, 3, 16, 16) and not module.validated
    data = PairedClips(
        str(tmp_path / "small"), folder, 2, str(tmp_path / "small"), folder, size=16, workers=0, multiple=2
    )
    assert len(fit(data, 2, tmp_path).validated) == 5


def test_bad_settings_name_their_key(folder):
    for options, message in (
        ({"batch_size": 0}, "batch_size: 0"),
        ({"workers": -1}, "workers: -1"),
        ({"frames": 0}, "frames: 0"),
        ({"size": 18}, "size: 18 is not a multiple of the scale 4"),
        ({"validation_size": 4}, "validation_size: 4"),
    ):
        with pytest.raises(ValueError, match=message):
            degraded(folder, **options)
    with pytest.raises(ValueError, match="val_lr and val_hr"):
        PairedClips(folder, folder, 1, val_lr=folder)


def test_a_missing_folder_is_missed_in_setup():
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        DegradedClips(BicubicDown(), 1, train_dir="nowhere").setup("fit")


def test_further_validation_crops_are_drawn_and_stay():
    from filming import validation_clips

    from adc.degradation import BicubicDown

    plain, several = (validation_clips(BicubicDown(), size=64, validation_crops=crops) for crops in (1, 3))
    assert len(several) == 3 * len(plain)
    for index in range(len(plain)):
        assert torch.equal(several[index]["hr"], plain[index]["hr"])
        further = several[index + len(plain)]
        assert further["name"] == plain[index]["name"]
        assert not torch.equal(several[index + 2 * len(plain)]["lr"], further["lr"])
        assert torch.equal(several[index + len(plain)]["lr"], further["lr"])

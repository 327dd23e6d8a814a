"""Workers that die, and the causes for which files were passed over."""

import errno
import logging
import os
import signal
import time
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from adc.data import DegradedClips
from adc.data.loader import WorkerDiedError, clip_loader
from adc.degradation import BicubicDown
from adc.errors import describe
from adc.media import images, retry


class Killed(Dataset):
    """Ends the process that reads its third item."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"lr": torch.zeros(1)}


def test_a_worker_that_is_killed_is_named_with_the_way_out():
    with pytest.raises(WorkerDiedError) as caught:
        for _ in clip_loader(Killed(), workers=1):
            pass
    text = describe(caught.value)
    assert text.startswith("data worker ") and "\n" not in text
    assert "was killed by the signal Killed; often the system ends it where memory runs out" in text
    assert text.endswith("lower workers, batch_size or cache.")


def test_a_worker_that_dies_while_a_batch_is_computed_is_named_too():
    with pytest.raises(WorkerDiedError, match="data worker"):
        for _ in islice(clip_loader(Killed(), workers=1), 2):
            for _ in range(100):
                time.sleep(0.05)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_files_that_were_skipped_are_counted_by_their_cause(photos, monkeypatch, caplog, workers):
    data = DegradedClips(BicubicDown(), 1, str(photos), size=32, workers=workers, broken="skip")
    data.setup("fit")
    (photos / "0.png").write_bytes((photos / "0.png").read_bytes()[:200])
    (photos / "1.png").unlink()
    usual = images.Image.open

    def fail(path, *rest):
        if str(path).endswith("2.png"):
            raise OSError(errno.EIO, "it failed")
        return usual(path, *rest)

    monkeypatch.setattr(images.Image, "open", fail)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    names = {batch["name"][0] for batch in islice(data.train_dataloader(), 8)}
    assert names == {"3"}
    assert data.causes() == {"decoding": 1, "unreadable": 1, "vanished": 1}
    with caplog.at_level(logging.WARNING):
        data.teardown("fit")
    expected = f"3 broken files were skipped (decoding 1, unreadable 1, vanished 1): {photos}/0.png"
    assert caplog.records[-1].getMessage().startswith(expected)

"""Long clips through one-step students: memory that does not grow with their length."""

import subprocess
import sys

import pytest
from adc_tiny import TinyCausalAutoencoder, TinyConditioner, TinyDenoiser
from adc_wan import OneStepVideo
from filming import film, picture

from adc.pruning import save_student

SIDE, SHORT, LONG = 32, 200, 400
MEASURE = """
import resource, sys
import torch
from adc.cli import main
torch.set_num_threads(1)
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(*arguments):
    """Megabytes that a process of the command needs at most."""
    command = [sys.executable, "-c", MEASURE, "upscale", *map(str, arguments)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(told.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """Twice the frames take less than half of what the added frames alone would, of LR and of the result in floats."""
    conditioner = TinyConditioner(autoencoder=TinyCausalAutoencoder())
    save_student(OneStepVideo(TinyDenoiser(channels=24), conditioner), tmp_path / "student")
    needed = {}
    for frames in (SHORT, LONG):
        clip = film(tmp_path / f"{frames}.mp4", [picture(number, SIDE, SIDE) for number in range(frames)])
        needed[frames] = peak(clip, "--student", tmp_path / "student", "-o", tmp_path / f"large_{frames}.mp4")
    added = (LONG - SHORT) * 4 * 3 * (SIDE**2 + (4 * SIDE) ** 2) / 2**20
    assert added > 35
    assert needed[LONG] - needed[SHORT] < added / 2

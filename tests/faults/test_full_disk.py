"""A disk that is full for real, a small tmpfs: one line, the old checkpoint stays, and the run goes on with room."""

import os
import shutil
import subprocess

import pytest
from killed import TINY, adc, compare, fit, killing

from adc.training.checkpoint import checkpoints, damage


@pytest.fixture
def disk(tmp_path):
    """A tmpfs of 4 MiB at ``small``; skips where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs mount, and the right to")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "adc-test", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unchecked", "left", "file", "says"),
    [
        (False, 40_000, "checkpoints/00000012.ckpt", "nothing was written, earlier checkpoints stay. Make room, and"),
        (True, 40_000, "checkpoints/00000012.ckpt", "No space left on device"),
        (True, 0, "attempts.json", "No space left on device"),  # the time that was spent is noted first
    ],
)
def test_a_run_outlives_it(disk, tmp_path, unchecked, left, file, says):
    """Found before writing, and where that look is switched off, while writing."""
    fill = killing(tmp_path / "fill.yaml", ("FillDisk", {"batch": 11, "left": left, "unchecked": unchecked}))
    jobs = {
        "prune": ["prune", "-c", str(TINY / "0_prune.yaml")],
        "whole": fit("1_decoder.yaml", "whole"),
        "full": fit("1_decoder.yaml", "small/run", *fill),
    }
    told = adc(tmp_path, jobs)
    assert [told[name]["status"] for name in jobs] == [0, 0, 1], told
    said = [line for line in told["full"]["output"].splitlines() if line.startswith("adc: ")]
    assert len(said) == 1 and f"small/run/{file}: " in said[0] and says in said[0], told["full"]
    assert "Traceback" not in told["full"]["output"]
    (kept,) = checkpoints(disk / "run")
    assert kept.name == "00000006.ckpt" and damage(kept) is None
    assert [path.name for path in kept.parent.iterdir()] == ["00000006.ckpt"]

    (disk / "run" / "filler").unlink()
    again = adc(tmp_path, {"again": fit("1_decoder.yaml", "small/run")})["again"]
    assert again["status"] == 0 and "resuming from small/run/checkpoints/00000006.ckpt" in again["output"], again
    compare(tmp_path / "whole", disk / "run")

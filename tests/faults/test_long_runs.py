"""Many steps: memory, open files, threads and the run folder do not grow."""

import json

import pytest
from killed import TINY, adc, fit, killing, lengthened


@pytest.mark.slow
def test_nothing_grows(tmp_path, long):
    """From the first tenth on; memory within 2% over 10,000 steps."""
    steps = 10_000 if long else 300
    census = killing(tmp_path / "census.yaml", ("Census", {"every": steps // 50}))
    options = lengthened(tmp_path / "length.yaml", steps, save=steps // 20)
    options += ["--trainer.val_check_interval", str(steps // 20)]
    told = adc(
        tmp_path,
        {
            "prune": ["prune", "-c", str(TINY / "0_prune.yaml")],
            "run": fit("1_decoder.yaml", "run", *options, *census),
        },
        timeout=7200,
    )
    assert told["run"]["status"] == 0, told["run"]["output"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "census").read_text().splitlines()]
    settled = rows[len(rows) // 10 :]
    assert rows[-1]["batches"] == steps
    for what in ("handles", "threads", "files"):
        counts = [row[what] for row in settled]
        spare = (
            2 if what == "files" else 0
        )  # of checkpoints one more is there until the newest is proven, and its scratch
        assert max(counts) - min(counts) <= spare, (what, counts)
    memory = [row["kib"] for row in settled]
    growth = max(memory) / memory[0] - 1
    print(f"{steps} steps: {memory[0] / 1024:.0f} MiB, then {growth:+.2%} at most; {settled[-1]}")
    assert growth < (0.02 if long else 0.05)

"""Secrets of the environment that a recipe uses reach no file and no line."""

import os

import pytest
from killed import TINY, adc, fit, overlay

from adc.errors import masked

TOKEN = "hush-4711-0815"


def test_masked(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", TOKEN)
    monkeypatch.setenv("LONGER_API_KEY", f"{TOKEN}-longer")
    monkeypatch.setenv("SHORT_KEY", "on")
    monkeypatch.setenv("HARMLESS_VALUE", "photographs")
    said = masked(f"{TOKEN}-longer of photographs is on, {TOKEN} too")
    assert said == "${oc.env:LONGER_API_KEY} of photographs is on, ${oc.env:SOME_TOKEN} too"


@pytest.mark.slow
def test_no_file_and_no_line_of_a_run_holds_one(tmp_path, monkeypatch):
    """Recipe, changes, checkpoints, logs, an error: all that a run writes."""
    monkeypatch.setenv("NOTIFY_TOKEN", TOKEN)
    callback = {"class_path": "Notify", "init_args": {"token": "${oc.env:NOTIFY_TOKEN}"}}
    photos = {"data": {"init_args": {"train_dir": "photos/${oc.env:NOTIFY_TOKEN}"}}}
    jobs = {"prune": ["prune", "-c", str(TINY / "0_prune.yaml")]}
    for name, port in (("fails", 13), ("runs", 1)):
        callback["init_args"]["port"] = port
        use = overlay(tmp_path / f"{name}.yaml", {"trainer": {"callbacks+": [callback]}})
        jobs[name] = fit("1_decoder.yaml", "run", *use)
    jobs["differs"] = fit("1_decoder.yaml", "run", *use, *overlay(tmp_path / "photos.yaml", photos))
    jobs["wrong"] = fit("1_decoder.yaml", "run", *use, "--trainer.max_epochs", "${oc.env:NOTIFY_TOKEN}")
    told = adc(tmp_path, jobs)
    assert [told[name]["status"] for name in ("prune", "fails", "runs")] == [0, 1, 0], told
    assert [told[name]["status"] for name in ("differs", "wrong")] == [2, 2], told
    assert "cannot reach port 13 with ${oc.env:NOTIFY_TOKEN}" in told["fails"]["output"]
    assert "token: ${oc.env:NOTIFY_TOKEN}" in (tmp_path / "run" / "config.yaml").read_text()
    for name, end in told.items():
        assert TOKEN not in end["output"], name
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if TOKEN.encode() in path.read_bytes() or TOKEN in os.fspath(path)]

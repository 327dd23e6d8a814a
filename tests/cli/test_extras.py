"""Libraries that a recipe needs and adc does not install are named before anything is loaded."""

import multiprocessing
import sys

import pytest

from adc.errors import missing_extra
from adc.files import one_at_a_time


def test_a_loss_without_its_library_is_refused_before_anything_is_loaded(adc, recipe, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)

    def change(content):
        arguments = content["model"]["init_args"]
        arguments["losses"].append({"class_path": "DISTS", "init_args": {"weight": 0.1}})
        arguments["network"] = {"class_path": "adc.pruning.load_student", "init_args": {"folder": "there/is/none"}}

    status, _, complaint = adc("fit", "-c", recipe(change))
    assert status == 2
    line = complaint.strip().splitlines()[-1]
    assert line.endswith("model.init_args.losses.1: DISTS needs the pyiqa library: pip install 'adc[metrics]'.")
    assert not run.exists()


def test_the_constructor_says_the_same(monkeypatch):
    from adc.losses import DISTS, L1

    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(ImportError, match=r"DISTS needs the pyiqa library: pip install 'adc\[metrics\]'"):
        DISTS()
    assert missing_extra(L1) is None


def _fetch(folder, said):
    with one_at_a_time(folder / ".lock"):
        there = (folder / "weights").exists()
        if not there:
            (folder / "part").touch(exist_ok=False)
            multiprocessing.Event().wait(0.2)
            (folder / "part").rename(folder / "weights")
        said.put("found" if there else "fetched")


def test_one_process_fetches_and_the_others_wait(tmp_path):
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    processes = [context.Process(target=_fetch, args=(tmp_path, said)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(said.get(timeout=10) for _ in processes) == ["fetched", "found", "found", "found"]


def test_a_place_that_cannot_be_locked_keeps_nobody_waiting(tmp_path):
    (tmp_path / "file").touch()
    with one_at_a_time(tmp_path / "file" / ".lock"):
        pass

"""`adc list`: all components with kind and origin; what one takes."""

import importlib
import inspect
import json
import time

import pytest

from adc import components, registry
from adc.cli.parser import load_components


def test_components_read_from_source_are_those_that_import():
    load_components(training=True)
    importlib.import_module("adc.training.schedules")
    imported = {
        cls.__name__
        for kind in components.imported_kinds()
        for cls in registry.subclasses(kind)
        if cls.__module__.startswith(("adc.", "adc_tiny", "adc_sd21", "adc_video", "adc_wan", "adc_spandrel"))
        and not cls.__module__.startswith(("adc.interfaces", "adc.cli", "adc.testing"))
        and not cls.__name__.startswith("_")
        and not inspect.isabstract(cls)
    } - {"Stage"}
    assert {component.name for component in components.own_components()} == imported


def test_kinds_and_origins(adc):
    status, printed, _ = adc("list", "--json")
    listed = {component["name"]: component for component in json.loads(printed)}
    assert status == 0
    assert (listed["TinyStudent"]["kind"], listed["TinyStudent"]["origin"][:8]) == ("Student", "adc_tiny")
    assert (listed["L1"]["kind"], listed["L1"]["origin"]) == ("Loss", "adc")
    assert listed["Regression"]["kind"] == "Stage"
    assert listed["StopAfter"]["kind"] == "Callback"
    assert listed["SaveEvery"]["kind"] == "Callback"
    assert listed["DegradedClips"]["kind"] == "DataModule"
    assert listed["OSEDiff"]["kind"] == "Teacher"
    assert listed["Real"]["kind"] == "Source"
    assert "Teacher" not in listed
    own = [component for component in listed.values() if component["path"].startswith("adc")]
    assert all(component["summary"] for component in own if "toy" not in component["path"])


def test_a_table_shows_them(adc):
    status, printed, _ = adc("list", "--kind", "Loss")
    assert status == 0
    assert "Charbonnier" in printed
    assert "TinyStudent" not in printed


def test_backquotes_are_single(adc):
    printed = adc("list")[1] + adc("list", "AdversarialDistillation")[1]
    assert "`[]`" in printed and "``" not in printed


def test_arguments_of_one(adc):
    status, printed, _ = adc("list", "Regression", "--json")
    arguments = {argument["name"]: argument for argument in json.loads(printed)["arguments"]}
    assert status == 0
    assert arguments["network"]["required"]
    assert arguments["losses"]["type"] == "list[Loss]"
    assert arguments["accumulate"] == {
        "name": "accumulate",
        "type": "int",
        "required": False,
        "default": 1,
        "help": arguments["accumulate"]["help"],
    }
    assert "Batches" in arguments["accumulate"]["help"]


def test_arguments_of_one_as_a_table(adc):
    status, printed, _ = adc("list", "L1")
    assert status == 0
    assert "L1 is a Loss from adc" in printed
    assert "Literal['feature', 'pixel']" in printed
    assert "Multiplier in the total." in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["TinyStudnt"], "no component 'TinyStudnt'; did you mean TinyStudent"),
        (["--kind", "Techer"], "no kind 'Techer'"),
    ],
)
def test_unknown_names(adc, arguments, says):
    status, _, complaint = adc("list", *arguments)
    assert status == 2
    assert says in complaint
    assert complaint.count("\n") == 1


@pytest.mark.slow
def test_answers_soon_without_lightning(adc_process):
    def seconds():
        start = time.perf_counter()
        assert adc_process("list").returncode == 0
        return time.perf_counter() - start

    assert min(seconds() for _ in range(4)) < 3

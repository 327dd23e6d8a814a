import sys
from types import ModuleType

import pytest
import torch
from jsonargparse import ArgumentError

from adc.cli.parser import PARSER_OPTIONS, OneLineErrors, load_components
from adc.registry import Plugin, _found


@pytest.fixture
def optimizer_in(monkeypatch):
    """Makes a class of torch's name in another module."""

    def make(module, name):
        cls = type(name, (torch.optim.SGD,), {"__module__": module})
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        setattr(sys.modules[module], name, cls)
        return cls

    return make


@pytest.fixture
def parser():
    load_components()
    from lightning.pytorch.cli import OptimizerCallable

    parser = OneLineErrors(exit_on_error=False, **PARSER_OPTIONS)
    parser.add_argument("--optimizer", type=OptimizerCallable)
    return parser


def test_adam_is_torchs_whoever_else_has_one(parser, optimizer_in):
    foreign = optimizer_in("library_that_came_along", "Adam")
    assert parser.parse_args(["--optimizer", "Adam"]).optimizer.class_path == "torch.optim.Adam"
    assert parser.parse_args(["--optimizer", "SGD"]).optimizer.class_path == "torch.optim.SGD"
    by_path = parser.parse_args(["--optimizer", "library_that_came_along.Adam", "--optimizer.momentum", "0.5"])
    assert by_path.optimizer.class_path == f"{foreign.__module__}.Adam"


def test_a_plugin_of_torchs_name_is_ambiguous(parser, optimizer_in, monkeypatch):
    plugin = optimizer_in("plugin_of_somebody", "Adagrad")
    monkeypatch.setitem(_found, (plugin.__module__, "a test"), Plugin(plugin.__module__, "a test"))
    with pytest.raises(ArgumentError, match=r"torch\.optim\.Adagrad, plugin_of_somebody\.Adagrad"):
        parser.parse_args(["--optimizer", "Adagrad"])

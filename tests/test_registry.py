"""Plugins: found by entry point and by folder, never by accident, and harmless when broken."""

import json
import os
import subprocess
import sys

import pytest

from adc import registry

TEACHER = '''
from adc.interfaces import Teacher


class {name}(Teacher):
    """A teacher of {name}."""

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def restore(self, lr, generator=None):
        return lr
'''


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    monkeypatch.setattr(registry, "_found", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(registry.PATH_VARIABLE, raising=False)


def folder_of(tmp_path, **modules):
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def installed(tmp_path, package, text):
    """A package as pip leaves it: its files beside a dist-info folder."""
    site = tmp_path / "site"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text(text)
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[adc.plugins]\n{package} = {package}\n")
    return site


def test_first_party_plugins_come_by_entry_point():
    found = {plugin.module: plugin for plugin in registry.discover()}
    assert {"adc_tiny", "adc_sd21", "adc_spandrel"} <= set(found)
    assert found["adc_tiny"].origin.startswith("adc ")
    assert not registry.broken()


def test_folder_plugin_is_loaded_and_listed(tmp_path, monkeypatch):
    folder = folder_of(tmp_path, reg_one=TEACHER.format(name="RegOne"), _hidden="1 / 0", test_x="1 / 0")
    monkeypatch.setenv(registry.PATH_VARIABLE, str(folder))
    registry.discover()
    from adc.interfaces import Teacher

    listed = {component.name: component for component in registry.components([Teacher])}
    assert listed["RegOne"].origin == f"reg_one ({folder})"
    assert (listed["RegOne"].kind, listed["RegOne"].path) == ("Teacher", "reg_one.RegOne")
    assert listed["RegOne"].summary == "A teacher of RegOne."
    assert not registry.broken()


def test_broken_plugin_warns_once(tmp_path, monkeypatch, capsys):
    folder = folder_of(tmp_path, reg_bad="import nowhere_at_all", reg_exit="raise SystemExit(3)")
    monkeypatch.setenv(registry.PATH_VARIABLE, str(folder))
    registry.discover()
    registry.discover()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"adc: warning: plugin reg_bad ({folder}) did not load: ModuleNotFoundError: No module")
    assert [plugin.module for plugin in registry.broken()] == ["reg_bad", "reg_exit"]


def test_a_name_that_something_else_has_is_refused(tmp_path, monkeypatch):
    folder = folder_of(tmp_path, json="x = 1")
    monkeypatch.setenv(registry.PATH_VARIABLE, str(folder))
    registry.discover()
    assert "the name 'json' belongs to" in registry.broken()[0].error
    assert json.dumps(1) == "1"


def test_missing_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.PATH_VARIABLE, str(tmp_path / "none"))
    registry.discover()
    assert "is no folder" in registry.broken()[0].error
    with pytest.raises(FileNotFoundError, match="--plugins: there is no folder"):
        registry.add_plugin_folders(str(tmp_path / "other"))


def test_named_folders_come_first_and_once(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    monkeypatch.setenv(registry.PATH_VARIABLE, f"{one}{os.pathsep}{one}")
    registry.add_plugin_folders(str(two))
    registry.add_plugin_folders(str(two))
    assert registry.plugin_folders() == [two, one]


def test_abstract_private_and_local_classes_are_not_listed():
    from adc.interfaces import Teacher

    class Local(Teacher):
        def restore(self, lr, generator=None):
            return lr

    names = {cls.__name__ for cls in registry.subclasses(Teacher)}
    assert "Local" not in names
    assert "Teacher" not in names


def test_installed_folder_and_broken_plugins_together_and_nothing_unasked(tmp_path):
    site = installed(tmp_path, "reg_installed", TEACHER.format(name="InstalledTeacher"))
    folder = folder_of(tmp_path, reg_folder=TEACHER.format(name="FolderTeacher"), reg_lost="import nowhere_at_all")
    here = tmp_path / "here"
    here.mkdir()
    for name in ("adc_tiny", "reg_trap", "difflib", "sitecustomize_trap"):
        (here / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    environment = {**os.environ, "PYTHONPATH": str(site), registry.PATH_VARIABLE: str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "adc", "list", "--json"], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    listed = {component["name"]: component for component in json.loads(done.stdout)}
    assert listed["InstalledTeacher"]["origin"] == "reg_installed (reg-installed 1.2)"
    assert listed["FolderTeacher"]["origin"] == f"reg_folder ({folder})"
    assert "TinyStudent" in listed
    assert done.stderr.count("\n") == 1
    assert "reg_lost" in done.stderr


def test_short_names_of_both_are_usable_in_a_recipe(tmp_path):
    site = installed(tmp_path, "reg_installed", TEACHER.format(name="InstalledTeacher"))
    folder = folder_of(tmp_path, reg_folder=TEACHER.format(name="FolderTeacher"), reg_lost="import nowhere_at_all")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("first: InstalledTeacher\nsecond: {class_path: FolderTeacher, init_args: {scale: 2}}\n")
    program = """
import sys
from adc.cli.parser import component_parser
from adc.interfaces import Restorer
parser = component_parser("adc prune")
parser.add_argument("--first", type=Restorer)
parser.add_argument("--second", type=Restorer)
config = parser.parse_args(sys.argv[1:])
print(parser.dump(config, skip_none=True))
built = parser.instantiate_classes(config)
print(type(built.first).__name__, built.second.scale)
"""
    environment = {**os.environ, "PYTHONPATH": str(site), registry.PATH_VARIABLE: str(folder)}

    def run(path):
        return subprocess.run(
            [sys.executable, "-c", program, "-c", str(path)], env=environment, capture_output=True, text=True
        )

    done = run(recipe)
    assert "InstalledTeacher 2" in done.stdout, done.stderr
    saved = tmp_path / "saved.yaml"
    saved.write_text(done.stdout.rpartition("InstalledTeacher 2")[0])
    assert "class_path: reg_folder.FolderTeacher" in saved.read_text()
    assert "InstalledTeacher 2" in run(saved).stdout

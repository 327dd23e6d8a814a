"""tools/new_plugin.py writes packages whose own tests pass."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from adc import registry

SCRIPT = Path(__file__).parents[1] / "tools" / "new_plugin.py"
spec = importlib.util.spec_from_file_location("new_plugin", SCRIPT)
assert spec is not None
assert spec.loader is not None
new_plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(new_plugin)


def test_its_own_test_passes_and_can_fail(tmp_path):
    written = subprocess.run(
        [sys.executable, SCRIPT, "acme_sr", "teacher"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "wrote acme_sr" in written.stdout

    def own_test():
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "acme_sr"], cwd=tmp_path, capture_output=True, text=True
        )

    passed = own_test()
    assert "1 passed" in passed.stdout, passed.stdout + passed.stderr
    module = tmp_path / "acme_sr" / "acme_sr" / "teacher.py"
    module.write_text(module.read_text().replace("return large +", "return lr + 0 *"))
    assert own_test().returncode == 1


@pytest.mark.parametrize("kind", new_plugin.KINDS)
def test_each_kind_keeps_its_contract_and_is_found(kind, tmp_path, monkeypatch):
    name = f"scaffold_{kind}"
    folder = new_plugin.write(name, kind, tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registry, "_found", {})
    monkeypatch.setenv(registry.PATH_VARIABLE, str(folder))
    assert [plugin.error for plugin in registry.discover() if plugin.module == name] == [""]
    namespace = {}
    exec((folder / "tests" / f"test_{kind}.py").read_text(), namespace)
    namespace["test_contract"]()
    assert f'\n{name} = "{name}"\n' in (folder / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["acme_sr", "techer"], "no kind 'techer'; did you mean teacher?"),
        (["Acme-SR", "teacher"], "'Acme-SR' is no package name"),
        (["torch", "teacher"], "a module 'torch' exists already"),
    ],
)
def test_wrong_usage(arguments, says, tmp_path, capsys):
    assert new_plugin.main([*arguments, "--into", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "acme_sr").mkdir()
    assert new_plugin.main(["acme_sr", "teacher", "--into", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err

"""What stands where a student was expected is named, with the way out; students that ship are found by name."""

import importlib.metadata
import sys

import pytest
from adc_tiny import TinyStudent

from adc import registry
from adc.pruning import load_student, save_student
from adc.pruning.folders import shipped, student_folder


@pytest.fixture
def ships(tmp_path, monkeypatch):
    """An installed plugin with a student of its own."""
    home = tmp_path / "site" / "acme_ships"
    save_student(TinyStudent(width=8), home / "students" / "small")
    (home / "__init__.py").write_text("raise RuntimeError('a name is looked up without importing the plugin')\n")
    monkeypatch.syspath_prepend(str(home.parent))
    point = importlib.metadata.EntryPoint("acme", "acme_ships", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    yield home / "students" / "small"
    sys.modules.pop("acme_ships", None)


def test_a_student_that_ships(ships, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped() == {"small": ships}
    assert student_folder("small") == ships
    assert type(load_student("small")) is TinyStudent
    own = tmp_path / "small"
    save_student(TinyStudent(width=4), own)
    assert load_student("small").init_args["width"] == 4  # a folder of that name comes first


def test_what_is_not_there(ships, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"smal: no such folder; did you mean small\? expected .*ships with adc: small"
    ):
        load_student("smal")
    save_student(TinyStudent(width=4), tmp_path / "runs" / "2_distill")
    with pytest.raises(FileNotFoundError, match=r"2_distil: no such folder; did you mean .*runs/2_distill\?"):
        load_student(str(tmp_path / "runs" / "2_distil"))
    (tmp_path / "runs" / "2_distill_begun").mkdir()
    with pytest.raises(FileNotFoundError, match=r"2_distill_begu: no such folder; did you mean .*runs/2_distill\?"):
        load_student(str(tmp_path / "runs" / "2_distill_begu"))
    with pytest.raises(FileNotFoundError, match=r"this folder holds no student, but .*runs/2_distill does; name it"):
        load_student(str(tmp_path / "runs"))
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"photo\.png: is a file; name the folder that holds student\.yaml"):
        load_student(str(tmp_path / "photo.png"))


def test_a_run_that_is_not_finished(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match=r"this run is not finished \(it has no checkpoint yet\)"):
        load_student(str(tmp_path))
    (tmp_path / "checkpoints" / "00000012.ckpt").write_bytes(b"")
    says = r"this run is not finished \(its newest checkpoint is 00000012\.ckpt\); the command that began it goes on"
    with pytest.raises(FileNotFoundError, match=says):
        load_student(str(tmp_path))


def test_a_folder_that_is_not_whole(tmp_path):
    save_student(TinyStudent(width=4), tmp_path)
    (tmp_path / "structure.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"structure\.json: no such file; the student folder is not complete"):
        load_student(str(tmp_path))
    (tmp_path / "student.yaml").unlink()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"this folder holds no student; expected one"):
        load_student(str(tmp_path))

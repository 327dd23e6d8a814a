import json
import runpy
from pathlib import Path

import pytest

pytest.importorskip("spandrel")

ROOT = Path(__file__).parents[2]
HOME = ROOT / "plugins/adc_spandrel"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools/spandrel_table.py"))


def test_an_architecture_is_tried(tool):
    row = tool["attempt"]("Compact", 0.5, False)
    assert row["state"] == "works" and row["layers"] == [4, 4] and row["whole"] == []


def test_one_that_cannot_be_a_student_says_why(tool):
    row = tool["attempt"]("DRUNet", 0.5, False)
    assert row["state"] == "not built" and "DRUNet takes or gives more than an image" in row["reason"]


def test_the_page_is_that_of_the_rows(tool):
    rows = json.loads((HOME / "architectures.json").read_text())
    works = {name for name, row in rows.items() if row["state"] == "works"}
    assert len(works) >= 20 and {"ESRGAN", "Compact", "SPAN", "SwinIR", "HAT", "DAT"} <= works
    page = (HOME / "README.md").read_text()
    version = page.partition("architectures of spandrel ")[2].partition(")")[0]
    assert tool["table"](rows, version) == page

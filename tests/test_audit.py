"""tools/audit.py reads what pip-audit says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import audit

FAULT = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "description": "it runs anything", "aliases": []}


@pytest.mark.parametrize(
    ("packages", "status", "says"),
    [
        (
            [{"name": "one", "version": "2.0", "vulns": [FAULT]}],
            1,
            "one 2.0: PYSEC-2026-1, mended in 2.1\naudit: 1 known",
        ),
        ([{"name": "one", "version": "2.0", "vulns": []}], 0, "audit: 0 known vulnerabilities in 1 packages"),
        ([{"name": "one", "skip_reason": "not found"}], 0, "audit: not done; no index answers"),
        (None, 0, "audit: not done; no index answers"),
    ],
)
def test_it_says_what_is_known(monkeypatch, capsys, packages, status, says):
    answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, answer, ""))
    assert audit.main() == status
    assert capsys.readouterr().out.startswith(says)

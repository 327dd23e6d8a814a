"""Known vulnerabilities of the packages in ``constraints.txt``, found by pip-audit.

``python tools/audit.py``: status 1 and a line for each that is known; status 0 where there are none, or where no index
answers, which is said.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 300
"""Seconds to wait for an index."""


def report(found: str) -> tuple[list[str], int, int]:
    """What pip-audit's JSON says: a line for each vulnerability, how many packages it knew, and how many not."""
    lines, known, unknown = [], 0, 0
    for package in json.loads(found)["dependencies"]:
        known, unknown = known + ("skip_reason" not in package), unknown + ("skip_reason" in package)
        for fault in package.get("vulns", []):
            fixed = ", ".join(fault["fix_versions"]) or "no version"
            lines.append(f"{package['name']} {package['version']}: {fault['id']}, mended in {fixed}")
    return lines, known, unknown


def main() -> int:
    """Run pip-audit, in an environment of its own, over the constraints."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "tool", "run", "pip-audit", "--requirement", str(ROOT / "constraints.txt"), "--no-deps"]
    try:
        done = subprocess.run(
            [*command, "--disable-pip", "--progress-spinner", "off", "--format", "json"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        lines, known, unknown = report(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        lines, known = [], 0
    if not known:
        print("audit: not done; no index answers that knows vulnerabilities.")
        return 0
    print(*lines, f"audit: {len(lines)} known vulnerabilities in {known} packages, {unknown} were not found.", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

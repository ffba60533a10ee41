"""Runs the tests that failed in the last run of pytest once more, each alone: `python -m tests.support.again`.

A test that fails beside others and passes alone has lost a race, its own or the product's. It is named here, and has to
be mended, but does not stop a release: docs/decisions/0046-raced-tests.md says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FEW = 5
"""So many tests may have lost a race. Failures of more tests have a common cause, which a second run must not hide."""

LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    """0 if there were few failures and each of the tests passes alone, else 1."""
    failed = sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if not 0 < len(failed) <= FEW:
        print(f"{len(failed)} tests failed, which is not between 1 and {FEW}", file=sys.stderr)
        return 1
    for test in failed:
        if subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test], check=False).returncode:
            print(f"{test} fails alone, too", file=sys.stderr)
            return 1
    LAST_FAILED.unlink()
    print("These failed beside other tests and passed alone; they have to be mended:", *failed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())

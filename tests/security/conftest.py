"""One running mailworker for all attacks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.stage import Stage


@pytest.fixture(scope="session")
def running_stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="mailworker-"))
    folder.chmod(0o755)
    stage = Stage(folder)
    yield stage
    stage.stop()
    shutil.rmtree(folder)


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running mailworker; afterwards all has to be as it was before."""
    yield running_stage
    running_stage.settle()

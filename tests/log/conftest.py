from __future__ import annotations

import pytest

from mailworker.log.losses import Losses
from tests.support.recorded_log import RecordedLog


@pytest.fixture
def log() -> RecordedLog:
    return RecordedLog()


@pytest.fixture
def losses(log: RecordedLog) -> Losses:
    """Those that are reported to `log`, without a timer."""
    return Losses(log.log, lambda seconds, action: None)

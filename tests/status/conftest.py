from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.status.desk import Desk


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    """Desks have loops."""
    yield
    while Desk.made:
        Desk.made.pop().loop.close()

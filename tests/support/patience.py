"""How long a test waits for what should happen at once."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 30.0  # seconds: long, as a machine with too much to do stops everybody for a while

"""How long a test waits for something that should happen at once."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 30.0  # seconds: many, as an overloaded machine stops all processes for a while

"""Runs mailworker with one protocol more, whose port is the first argument."""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from mailworker.process.system.inherited_state import settle  # noqa: E402

settle()

from mailworker.cli import main  # noqa: E402
from mailworker.mail.protocols.table import PROTOCOLS  # noqa: E402
from tests.mail.protocols.toy import toy  # noqa: E402

PROTOCOLS["toy"] = toy(int(sys.argv[1]))
sys.exit(main([sys.argv[0], *sys.argv[2:]]))

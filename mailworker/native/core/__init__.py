"""The event core in C: `accelerator` has types and functions that replace those of `event/` and other packages.

It is None with MAILWORKER_PURE in the environment, or if the module was not built.
"""

from __future__ import annotations

import os
from types import ModuleType

from mailworker.native.tls.connection import TRANSPORT

accelerator: ModuleType | None = None

if not os.environ.get("MAILWORKER_PURE"):
    try:
        from mailworker.native.core import _core
    except ImportError:
        pass
    else:
        _core.use_tls(TRANSPORT)
        accelerator = _core

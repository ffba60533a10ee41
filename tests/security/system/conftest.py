"""Fixtures of the process tests: attacks on the system around the proxy need the real binary too."""

from __future__ import annotations

from tests.process.conftest import folder, install, port
from tests.process.tls.conftest import authority, client_certificate, ecdsa

__all__ = ["authority", "client_certificate", "ecdsa", "folder", "install", "port"]

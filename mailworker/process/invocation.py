"""The command line that mailworker was started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailworker.config.addresses import Resolve, system_addresses
from mailworker.config.blocks import OnTls
from mailworker.config.load import load
from mailworker.config.settings import Settings
from mailworker.config.tree import Warn
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.native.regex import Regex


@dataclass(frozen=True, slots=True)
class Invocation:
    """All paths are absolute; `error_log` is None for stderr."""

    arguments: tuple[str, ...]
    prefix: Path
    configuration: Path
    error_log: Path | None
    globals: str = ""

    def read(
        self,
        on_warning: Warn,
        *,
        on_tls: OnTls = lambda settings, proxy_settings, protocol: None,
        on_syntax_ok: Callable[[], None] = lambda: None,
        resolve: Resolve = system_addresses,
    ) -> Settings:
        """The settings of the configuration; raises ConfigError. For the parameters see `load`."""
        return load(
            self.configuration,
            protocols=PROTOCOLS,
            prefix=self.prefix,
            globals_=self.globals,
            error_log=self.error_log,
            resolve=resolve,
            compile_regex=Regex,
            on_tls=on_tls,
            on_warning=on_warning,
            on_syntax_ok=on_syntax_ok,
        )

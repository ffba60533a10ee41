"""A private CrowdSec, from the package that .ci/servers unpacks: its decisions about a log, without a network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import NamedTuple

from tests.support.daemon import Daemon, ServerUnavailable, find_program
from tests.support.overlay import SERVERS
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

# Parsers of Debian's hub that each installation has before and after other parsers.
HUB = ("parsers/s00-raw/crowdsecurity/syslog-logs.yaml", "parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml")
# The patterns that those parsers need. Reading all patterns takes seconds.
PATTERNS = ("linux-syslog", "nginx")

CONFIGURATION = Template("""\
common: {daemonize: false, log_media: stdout, log_level: info}
config_paths:
  config_dir: $folder/etc
  data_dir: $folder/data
  simulation_path: $folder/etc/simulation.yaml
  hub_dir: $hub
  index_path: $hub/.index.json
crowdsec_service: {acquisition_dir: $folder/etc/acquis.d, parser_routines: 1}
db_config: {type: sqlite, db_path: $folder/data/crowdsec.db, use_wal: false}
api:
  client: {credentials_path: $folder/etc/credentials.yaml}
  server: {listen_uri: "127.0.0.1:$port", profiles_path: $folder/etc/profiles.yaml}
prometheus: {enabled: false}
""")


_DECISION = re.compile(r"\) (?P<scenario>\S+) by ip \S+ : 4h ban on Ip (?P<address>[0-9a-f.:]+)")


class Ban(NamedTuple):
    """A decision as bouncers get it."""

    scenario: str
    address: str


class Crowdsec:
    """An installation whose configuration is `shipped`, a folder laid out as /etc/crowdsec, beside Debian's.

    `moved` maps paths of it to their replacements. It reads what is written from now on to its logs, which must exist.
    Raises ServerUnavailable where the package is not unpacked.
    """

    def __init__(self, folder: Path, shipped: Path, moved: Mapping[str, Path]) -> None:
        packages = os.environ.get(SERVERS, "")
        if not packages:
            raise ServerUnavailable(f"{SERVERS} is not set, see CONTRIBUTING.md")
        self._programs = f"{packages}/usr/bin"
        etc, debian, hub = folder / "etc", Path(packages, "etc/crowdsec"), Path(packages, "usr/share/crowdsec/hub")
        (folder / "data").mkdir(parents=True)
        shutil.copytree(shipped, etc)
        for path in (etc / "acquis.d").iterdir():
            path.write_text(_replaced(path.read_text(), moved))
        for name in HUB:
            stage = etc / Path(name).parents[1]
            stage.mkdir(exist_ok=True)
            shutil.copy(hub / name, stage)
        (etc / "patterns").mkdir()
        for name in (*(f"patterns/{name}" for name in PATTERNS), "profiles.yaml", "simulation.yaml"):
            shutil.copy(debian / name, etc / name)
        (etc / "credentials.yaml").touch()
        self._ports = Ports()
        self._configuration = folder / "config.yaml"
        self._configuration.write_text(CONFIGURATION.substitute(folder=folder, hub=hub, port=self._ports["api"]))
        credentials = ("--password", "secret", "--force", "--file", str(etc / "credentials.yaml"))
        added = self._command("cscli", "machines", "add", "test", *credentials)
        subprocess.run(added, capture_output=True, timeout=PATIENCE, check=True)
        self._daemon = Daemon(self._command("crowdsec", "-no-capi"), folder / "output")
        try:
            self._daemon.await_ready(lambda: set(moved.values()) <= set(self._open_files()))
        except BaseException:
            self.stop()
            raise

    def bans(self) -> set[Ban]:
        """Its decisions so far."""
        return {Ban(found["scenario"], found["address"]) for found in _DECISION.finditer(self._output())}

    def stop(self) -> None:
        """Kill it, as it has been seen not to stop by itself."""
        os.kill(self._daemon.pid, signal.SIGKILL)
        self._daemon.stop()
        self._ports.close()

    def _open_files(self) -> Iterator[Path]:
        for descriptor in Path(f"/proc/{self._daemon.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                yield descriptor.readlink()

    def _output(self) -> str:
        return self._daemon.output.read_text(errors="replace")

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [find_program(program, self._programs), "-c", str(self._configuration), *arguments]


def _replaced(text: str, moved: Mapping[str, Path]) -> str:
    for shipped, path in moved.items():
        assert f"  - {shipped}\n" in text
        text = text.replace(f"  - {shipped}\n", f"  - {path}\n")
    return text

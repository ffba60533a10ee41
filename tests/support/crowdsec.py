"""A private CrowdSec, from the package that .ci/servers unpacks: what it makes of a log, without a network."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from string import Template
from typing import NamedTuple

from tests.support.daemon import ServerUnavailable, find_program
from tests.support.overlay import SERVERS
from tests.support.patience import PATIENCE
from tests.support.ports import Ports

# Of the hub that Debian ships: what each installation has in front of other parsers and behind them.
HUB = ("parsers/s00-raw/crowdsecurity/syslog-logs.yaml", "parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml")
# Those that the above ask for. Reading all of them takes seconds.
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


class Decision(NamedTuple):
    """What a bouncer hears of."""

    scenario: str
    kind: str
    scope: str
    value: str


class Crowdsec:
    """An installation whose configuration is `shipped`, a folder laid out as /etc/crowdsec, beside Debian's.

    Raises ServerUnavailable where the package is not unpacked.
    """

    def __init__(self, folder: Path, shipped: Path) -> None:
        packages = os.environ.get(SERVERS, "")
        if not packages:
            raise ServerUnavailable(f"{SERVERS} is not set, see CONTRIBUTING.md")
        self._programs = f"{packages}/usr/bin"
        self._database = folder / "data" / "crowdsec.db"
        self._database.parent.mkdir(parents=True)
        etc, debian, hub = folder / "etc", Path(packages, "etc/crowdsec"), Path(packages, "usr/share/crowdsec/hub")
        shutil.copytree(shipped, etc)
        for name in HUB:
            stage = etc / Path(name).parents[1]
            stage.mkdir(exist_ok=True)
            shutil.copy(hub / name, stage)
        (etc / "patterns").mkdir()
        for name in (*(f"patterns/{name}" for name in PATTERNS), "profiles.yaml", "simulation.yaml"):
            shutil.copy(debian / name, etc / name)
        (etc / "credentials.yaml").touch()
        self._folder, self._ports = folder, Ports()
        self._configuration = folder / "config.yaml"
        text = CONFIGURATION.substitute(folder=folder, hub=hub, port=self._ports["api"])
        self._configuration.write_text(text)
        credentials = ("--password", "secret", "--force", "--file", str(etc / "credentials.yaml"))
        self._run("cscli", "machines", "add", "test", *credentials)

    def read(self, log: Path, kind: str) -> set[Decision]:
        """What it decides about a whole log whose label `type` is `kind`; time is that of the lines."""
        self._run("crowdsec", "-no-capi", "-dsn", f"file://{log}", "-type", kind)
        database = sqlite3.connect(self._database)
        try:
            return {Decision(*row) for row in database.execute("SELECT scenario, type, scope, value FROM decisions")}
        finally:
            database.close()

    def close(self) -> None:
        self._ports.close()

    def _run(self, program: str, *arguments: str) -> None:
        command = [find_program(program, self._programs), "-c", str(self._configuration), *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

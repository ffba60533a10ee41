"""Dovecot's login proxy as a rival: it takes the client's words, asks its own passdb, and logs in at the backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from string import Template

from bench.arena import Arena, Server
from tests.support.daemon import find_program, greets, running
from tests.support.dovecot import process_owners, refuse_other_versions

# As much of its log as can be left out: the login process still sends two lines of a session to the process "log".
SILENCE = "login_log_format_elements ="

# High-performance mode: one login process serves all clients. Nobody asks anvil about failures of an address.
CONFIGURATION = Template("""\
protocols = $protocol
base_dir = $folder/run
state_dir = $folder/state
log_path = $log
$silence
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
default_internal_user = $internal_user
default_internal_group = $internal_group
default_login_user = $login_user
passdb {
  driver = static
  args = nopassword=y proxy=y host=127.0.0.1 port=$backend
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service $protocol-login {
  chroot =
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = 1000
  inet_listener $protocol {
    port = $port
  }
  inet_listener ${protocol}s {
    port = 0
  }
}
""")


@contextmanager
def dovecot(arena: Arena, protocol: str, *, logs: bool = False) -> Iterator[Server]:
    """Run Dovecot in front of the backend for `protocol`, "imap" or "pop3"; `logs` keeps its usual log in a file.

    Raises ServerUnavailable.
    """
    program, folder, port = find_program("dovecot"), arena.new_folder("dovecot"), arena.ports[f"dovecot {protocol}"]
    file = folder / "dovecot.conf"
    values = {"protocol": protocol, "folder": folder, "port": port, "backend": arena.backends[protocol]}
    log = {"log": folder / "dovecot.log", "silence": ""} if logs else {"log": "/dev/null", "silence": SILENCE}
    file.write_text(CONFIGURATION.substitute(process_owners(), **values, **log))
    refuse_other_versions(program, file)
    command = [program, "-F", "-c", str(file)]
    with running(command, folder / "output", lambda: greets(("127.0.0.1", port))) as daemon:
        yield Server(daemon, 0, {(protocol, False): port}, arena.clients)

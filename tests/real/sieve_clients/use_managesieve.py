"""Puts, lists, activates and fetches a script by the module `managesieve`."""

from __future__ import annotations

import sys
from pathlib import Path

import managesieve

port, security, mechanism, login, password, name, script, fetched = sys.argv[1:]
client = managesieve.MANAGESIEVE("localhost", int(port), use_tls=security == "starttls")


def demand(answer: str) -> None:
    if answer != "OK":
        sys.exit(f"{answer}: {client.response_code} {client.response_text}")


demand(client.authenticate(mechanism, *([""] if mechanism == "PLAIN" else []), login, password))
demand(client.havespace(name, 1000))
demand(client.putscript(name, Path(script).read_bytes().decode()))
demand(client.setactive(name))
_, scripts = client.listscripts()
print(*(name for name, _ in scripts))
_, text = client.getscript(name)
Path(fetched).write_bytes(text.encode())
client.logout()

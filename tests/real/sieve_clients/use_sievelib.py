"""Puts, lists, activates and fetches a script by sievelib: the arguments are those of every client here."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from sievelib.managesieve import Client

port, security, mechanism, login, password, name, script, fetched = sys.argv[1:]
warnings.simplefilter("ignore")  # it warns of passwords in clear
client = Client("localhost", int(port))
if not client.connect(login, password, starttls=security == "starttls", ssl=security == "tls", authmech=mechanism):
    sys.exit(f"no login: {client.errmsg!r}")


def demand(done: bool) -> None:
    if not done:
        sys.exit(f"refused: {client.errmsg!r}")


demand(client.havespace(name, 1000))
demand(client.putscript(name, Path(script).read_bytes().decode()))
demand(client.setactive(name))
active, others = client.listscripts()
print(active, *others)
Path(fetched).write_bytes(client.getscript(name).encode())
client.logout()

"""Where mailworker differs from nginx on purpose. `python -m tests.oracle.differences` prints docs/differences.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.oracle.difference import Entry, Unseen, Why
from tests.oracle.difference_table import TABLE
from tests.oracle.unseen_table import UNSEEN

_INTRODUCTIONS = {
    Why.SAFER: "nginx lets somebody in, or lets bytes through, that should stay out.",
    Why.SOUNDER: "nginx stalls, loses bytes or refuses what is correct.",
    Why.NEWER: "mailworker follows nginx 1.31.5 where it differs from 1.22.1, Debian's, with which the tests compare.",
    Why.LOG: "What is logged, or how; no peer can tell the difference.",
}


def document(table: Mapping[str, Entry] = TABLE, unseen: Mapping[str, Unseen] = UNSEEN) -> str:
    """docs/differences.md."""
    return "\n".join(_lines(table, unseen)) + "\n"


def _lines(table: Mapping[str, Entry], unseen: Mapping[str, Unseen]) -> Iterable[str]:
    yield "# Where mailworker differs from nginx"
    yield ""
    yield "Each dialogue of `tests/oracle/` is played against a real nginx and against mailworker. What clients, auth"
    yield "services and backends see is the same byte for byte, and the error log line by line, but for what is listed."
    yield "Every difference has a name, and a dialogue that shows it. This page is made from the table in"
    yield "`tests/oracle/difference_table.py`."
    for why in Why:
        yield ""
        yield f"## {why.value}"
        yield ""
        yield _INTRODUCTIONS[why]
        yield ""
        yield "| Name | nginx 1.22.1 | mailworker | Why |"
        yield "|---|---|---|---|"
        for name, entry in table.items():
            if entry.why is why:
                yield f"| {name} | {entry.nginx} | {entry.mailworker} | {entry.reason} |"
    yield ""
    yield "## What no dialogue shows"
    yield ""
    yield "Each has a test elsewhere, which `tests/oracle/unseen_table.py` names. What the master does differently"
    yield "about its workers: see [running](running.md)."
    yield ""
    yield "| Name | nginx | mailworker | Why |"
    yield "|---|---|---|---|"
    for name, other in unseen.items():
        yield f"| {name} | {other.nginx} | {other.mailworker} | {other.reason} |"
    yield ""
    yield "## Kept"
    yield ""
    yield "What looks like a fault of nginx's and is kept, because configurations and clients rely on it: PLAIN and"
    yield "LOGIN are taken where `imap_auth`, `pop3_auth` and `smtp_auth` do not list them; `proxy off` changes"
    yield "nothing; names in `auth_http` are looked up once, at the start."
    yield ""
    yield "## TLS"
    yield ""
    yield "Versions by default, sessions and ticket keys: see [TLS](tls.md#where-tls-differs-from-nginx)."


if __name__ == "__main__":
    print(document(), end="")

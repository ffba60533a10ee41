"""Each kind of login is measured at both servers."""

import pytest

from bench import logins
from bench.__main__ import all_measures
from bench.arena import Arena


@pytest.mark.parametrize(
    "name",
    [
        "smtp-login-varied",
        "imap-keepalive-busy",
        "imaps-tls13-delayed-ack",
        "pop3-login-dovecot",
    ],
)
def test_a_row_has_figures_of_both(arena: Arena, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for constant, value in (("ROUNDS", 1), ("PLAIN_LOGINS", 20), ("TLS_LOGINS", 5)):
        monkeypatch.setattr(logins, constant, value)
    duel = all_measures()[name].run(arena)
    assert len(duel.theirs) == len(duel.ours) == 1
    assert min(*duel.theirs, *duel.ours) > 0

from __future__ import annotations

import pytest

from mailworker.config.events import METHOD
from mailworker.errors import ConfigError
from mailworker.process.notices import event_method
from tests.config.conftest import Load


def test_use_names_the_method_that_workers_use_and_no_other(load_text: Load) -> None:
    assert load_text(f"events {{ use {METHOD}; }}").events.use == METHOD == event_method()
    for other in {"epoll", "kqueue", "/dev/poll", "eventport", "poll", "select", "rtsig", "Epoll", ""} - {METHOD}:
        with pytest.raises(ConfigError, match=f'invalid event type "{other}" in'):
            load_text(f"events {{ use '{other}'; }}")


def test_every_listening_socket_needs_a_connection_and_one_is_left(load_text: Load) -> None:
    mail = "mail {{ auth_http 127.0.0.1; server {{ protocol imap; {} }} }}"
    counts = {
        "listen 127.0.0.1:143; listen 127.0.0.2:143;": 2,
        "listen 143; listen 127.0.0.2:143;": 1,
        "listen 143; listen 127.0.0.2:143 bind; listen [::1]:143;": 3,
        "listen unix:/a; listen unix:/b; listen 143-145;": 5,
    }
    for listens, count in counts.items():
        load_text(f"events {{ worker_connections {count + 1}; }}" + mail.format(listens))
        with pytest.raises(ConfigError) as caught:
            load_text(f"events {{ worker_connections {count}; }}" + mail.format(listens))
        assert str(caught.value) == f"{count} worker_connections are not enough for {count} listening sockets"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events { worker_connections x; }", 'invalid number "x"'),
        ("events { use nosuch; }", 'invalid event type "nosuch"'),
    ],
)
def test_bad_values_are_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message == message


def test_a_configuration_without_the_block_is_none(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=r'^no "events" section in configuration$'):
        load_text("daemon off;")

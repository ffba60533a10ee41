from __future__ import annotations

import grp
import pwd

import pytest

from mailworker.config.control import ControlListen, ControlSettings
from mailworker.config.listen import Access, Listen
from mailworker.errors import ConfigError
from mailworker.model import UnixAddress
from tests.config.conftest import Load


def control(load_text: Load, block: str, *, main: str = "") -> ControlSettings | None:
    text = f"""
        {main}
        events {{ }}
        {block}
        mail {{ auth_http 127.0.0.1; server {{ listen unix:/run/mail; protocol imap; }} }}
    """
    return load_text(text).control


def listen(path: str, access: Access) -> Listen:
    return Listen(UnixAddress(path), access=access)


def test_there_is_none_unless_somebody_asks_for_it(load_text: Load) -> None:
    assert control(load_text, "") is None


def test_a_socket_is_its_owners_alone_unless_somebody_says_otherwise(load_text: Load) -> None:
    assert control(load_text, "control { listen unix:/run/c; }") == ControlSettings(
        (ControlListen(listen("/run/c", Access(0o600, None, None))),)
    )


def test_reading_and_changing_may_be_apart(load_text: Load) -> None:
    block = "control { listen unix:/run/c mode=660 group=daemon; listen unix:/run/r readonly mode=0666 user=nobody; }"
    assert control(load_text, block) == ControlSettings(
        (
            ControlListen(listen("/run/c", Access(0o660, None, grp.getgrnam("daemon").gr_gid))),
            ControlListen(listen("/run/r", Access(0o666, pwd.getpwnam("nobody").pw_uid, None)), readonly=True),
        )
    )


def test_without_a_master_it_is_ignored_with_a_warning(load_text: Load) -> None:
    warnings: list[str] = []
    text = "master_process off; events { } control { listen unix:/run/c; }"
    settings = load_text(text, on_warning=lambda level, message: warnings.append(message))
    assert settings.control is None
    assert [warning.partition(" in ")[0] for warning in warnings] == [
        '"control" is ignored, as "master_process" is off',
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("control { }", 'no "listen" is defined for control'),
        ("control { listen unix:/a; } control { }", '"control" directive is duplicate'),
        ("control { listen 127.0.0.1:9; }", 'only unix sockets are allowed in "control"'),
        ("control { listen 9; }", 'only unix sockets are allowed in "control"'),
        ("control { listen unix:; }", 'no path in the unix domain socket in "unix:" of the "listen" directive'),
        ("control { listen unix:here; }", 'the path of "unix:here" is not absolute'),
        ("control { listen; }", 'invalid number of arguments in "listen" directive'),
        ("control { listen unix:/a; listen unix:/a; }", 'duplicate "unix:/a" address and port pair'),
        ("control { listen unix:/run/mail; }", 'duplicate "unix:/run/mail" address and port pair'),
        ("status { listen unix:/s; } control { listen unix:/s; }", 'duplicate "unix:/s" address and port pair'),
        ("control { listen unix:/a ssl; }", 'invalid parameter "ssl"'),
        ("control { listen unix:/a readonly=on; }", 'invalid parameter "readonly=on"'),
        ('control { listen unix:/a "user=no\0body"; }', 'getpwnam("no\0body") failed'),
        ("control { listen unix:/a mode=; }", 'invalid mode "mode="'),
        ("control { listen unix:/a mode=0680; }", 'invalid mode "mode=0680"'),
        ("control { listen unix:/a mode=4755; }", 'invalid mode "mode=4755"'),
        ("control { listen unix:/a user=no-such-user; }", 'getpwnam("no-such-user") failed'),
        ("control { listen unix:/a group=no-such-group; }", 'getgrnam("no-such-group") failed'),
        ("control { allow all; }", '"allow" directive is not allowed here'),
        ("control;", 'directive "control" has no opening "{"'),
    ],
)
def test_what_makes_no_sense_is_refused(load_text: Load, block: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        control(load_text, block)
    assert caught.value.message == message
    assert caught.value.where is not None

from __future__ import annotations

import pytest

from mailworker.native.tls.conf import ConfCommands
from mailworker.native.tls.context import Context
from mailworker.native.tls.queue import OpenSslError


@pytest.mark.parametrize(
    ("command", "takes_path"),
    [("Certificate", True), ("ChainCAPath", True), ("CipherString", False), ("NoSuchCommand", False)],
)
def test_values_of_some_commands_are_files_and_folders(command: str, takes_path: bool) -> None:
    with ConfCommands(Context()) as commands:
        assert commands.takes_path(command) is takes_path


@pytest.mark.parametrize("client", [False, True])
def test_each_side_may_be_told_what_only_the_other_heeds(client: bool) -> None:
    with ConfCommands(Context(client=client)) as commands:
        commands.run("VerifyMode", "Request")
        commands.run("NumTickets", "1")


@pytest.mark.parametrize(("command", "value"), [("NoSuchCommand", "x"), ("MinProtocol", "x"), ("CipherString", "NONE")])
def test_what_cannot_be_applied_is_an_error(command: str, value: str) -> None:
    with pytest.raises(OpenSslError, match=r"^SSL_CONF_cmd\(\) failed$"), ConfCommands(Context()) as commands:
        commands.run(command, value)

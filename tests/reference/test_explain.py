"""What `--explain` prints of a name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mailworker import cli
from mailworker.reference.explain import UnknownName, explain
from mailworker.reference.names import all_names

TIMEOUT = """\
timeout

  Syntax:   timeout TIME;
  Default:  timeout 60s;
  Context:  mail, server
  Since:    0.1.0
  nginx:    https://nginx.org/en/docs/mail/ngx_mail_core_module.html#timeout

  Sets how long a client may take from its connection to its login, whatever
  it sends; after a refused login the time begins anew. Connecting to the
  backend and logging in there may take as long. Afterwards `proxy_timeout`
  holds.

  Example:

    timeout 30s;
"""


def test_a_directive_is_explained() -> None:
    assert explain("timeout") == TIMEOUT


@pytest.mark.parametrize("name", sorted({name.split(" ")[0] for name in all_names()}))
def test_every_name_is_explained_in_lines_for_a_terminal(name: str) -> None:
    text = explain(name)
    assert text.startswith(f"{name}\n") or text.startswith(f"{name} (status)\n")
    assert "](" not in text


def test_an_address_can_be_copied() -> None:
    address = "https://nginx.org/en/docs/stream/ngx_stream_proxy_module.html#proxy_ssl_session_reuse\n"
    assert f"  nginx:    {address}" in explain("proxy_ssl_session_reuse")


def test_what_has_several_meanings_has_each_of_them_explained() -> None:
    assert explain("listen").count("\n  Syntax:") == 3
    assert "listen (status)" in explain("listen")
    assert "listen (control)" in explain("listen")
    assert "Letters:  cD" in explain("proxy_timeout")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("$remote_user", "$remote_user"),
        ("remote_user", "$remote_user"),
        ("$imap_id_name", "$imap_id_NAME"),
        ("$auth_http_x_quota", "$auth_http_NAME"),
        ("proxy_protocol_tlv_alpn", "$proxy_protocol_tlv_NAME"),
        ("auth_failed", "auth_failed"),
    ],
)
def test_variables_and_ends_are_explained(name: str, title: str) -> None:
    assert explain(name).startswith(f"{title}\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("proxy_timout", 'unknown directive "proxy_timout", did you mean "proxy_timeout"?'),
        ("$remote_usr", 'unknown variable "$remote_usr", did you mean "$remote_user"?'),
        ("LISTEN", 'unknown directive "LISTEN", did you mean "listen"?'),
        ("$IMAP_ID_name", 'unknown variable "$IMAP_ID_name", did you mean "$imap_id_NAME"?'),
        ("xyzzy", 'unknown directive "xyzzy"'),
        ("$imap_id_", 'unknown variable "$imap_id_", did you mean "$imap_id"?'),
    ],
)
def test_an_unknown_name_leads_to_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        explain(name)
    assert str(caught.value) == message


def test_the_switch_prints_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mailworker", "--explain", "timeout", "auth_failed"]) == 0
    output, errors = capsys.readouterr()
    assert output.startswith(f"{TIMEOUT}\nauth_failed\n")
    assert errors == ""


def test_the_switch_alone_lists_all_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mailworker", "--explain"]) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == sorted({name.split(" ")[0] for name in all_names()})
    assert errors == ""


def test_the_switch_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mailworker", "--explain", "timeout", "lisen"]) == 1
    assert capsys.readouterr() == ("", 'mailworker: unknown directive "lisen", did you mean "listen"?\n')


def test_who_does_not_ask_loads_nothing_of_it() -> None:
    program = "import sys, mailworker.cli; sys.exit([name for name in sys.modules if 'reference' in name] != [])"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0

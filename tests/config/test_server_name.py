from __future__ import annotations

import socket

import pytest

from mailworker.config.server_name import Added, NameTable, ServerName
from mailworker.errors import ConfigError
from mailworker.native.regex import Regex
from tests.config.conftest import Load

HOST = socket.gethostname().lower().encode()


@pytest.mark.parametrize(
    ("mail", "server", "greets", "names"),
    [
        ("", "server_name Mail.example;", b"Mail.example", [b"mail.example"]),
        ("", "server_name *.example .b ~c a B;", b"a", [b"*.example", b".b", b"c", b"a", b"b"]),
        ("", "server_name a; server_name b;", b"a", [b"a", b"b"]),
        ("", "server_name *.example;", HOST, [b"*.example"]),
        ("server_name outer;", "server_name *.example;", b"outer", [b"*.example"]),
        ("server_name outer;", "", b"outer", []),
        ("server_name outer;", "server_name '';", HOST, [b""]),
        ("", "server_name $hostname;", HOST, [HOST]),
    ],
)
def test_the_first_plain_name_greets_and_all_words_select(
    load_text: Load, mail: str, server: str, greets: bytes, names: list[bytes]
) -> None:
    text = f"events {{}} mail {{ {mail} auth_http 127.0.0.1; server {{ listen 143; {server} }} }}"
    (settings,) = load_text(text, compile_regex=Regex).servers
    assert (settings.server_name, [name.text for name in settings.names]) == (greets, names)


@pytest.mark.parametrize(
    ("place", "words", "message"),
    [
        ("mail", "a b", 'invalid number of arguments in "server_name" directive'),
        ("mail", "a; server_name b", '"server_name" directive is duplicate'),
        ("server", "", 'invalid number of arguments in "server_name" directive'),
        ("server", "*a", 'server name "*a" is invalid'),
        ("server", "*", 'server name "*" is invalid'),
        ("server", ".", 'server name "." is invalid'),
        ("server", "~", 'empty regex in server name "~"'),
        ("server", "~(", 'pcre2_compile() failed: missing closing parenthesis in "("'),
    ],
)
def test_words_that_are_no_names_are_refused_in_nginxs_words(
    load_text: Load, place: str, words: str, message: str
) -> None:
    outer, inner = (f"server_name {words};", "") if place == "mail" else ("", f"server_name {words};")
    with pytest.raises(ConfigError) as caught:
        load_text(f"events {{}} mail {{ {outer} server {{ listen 143; {inner} }} }}", compile_regex=Regex)
    assert message in str(caught.value)


def test_a_slash_looks_wrong(load_text: Load) -> None:
    settings = load_text(
        "events {} mail { auth_http a:1/; server { listen 143; server_name a/b; } }".replace("a:1", "127.0.0.1:1")
    )
    (warning,) = [text for _, text in settings.warnings]
    assert warning.startswith('server name "a/b" has suspicious symbols in ')


def test_capitals_make_an_expression_caseless(load_text: Load) -> None:
    text = "events {} mail { auth_http 127.0.0.1; server { listen 143; server_name ~^A ~^b; } }"
    (server,) = load_text(text, compile_regex=Regex).servers
    caseless, exact = (name.regex for name in server.names)
    assert caseless is not None
    assert exact is not None
    assert (caseless.search(b"a"), exact.search(b"B")) == ([b"a"], None)


def table(*names: str) -> NameTable[str]:
    made: NameTable[str] = NameTable()
    for name in names:
        regex = Regex(name[1:].encode()) if name.startswith("~") else None
        assert made.add(ServerName(name.encode(), regex), name) is Added.DONE
    return made


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a.example", "a.example"), ("b.a.example", "*.a.example"), ("c.b.a.example", "*.b.a.example"),
        ("x.example", "*.example"), ("example", None), ("dot", ".dot"), ("a.dot", ".dot"), ("www.a.org", "www.a.*"),
        ("www.b.org", "www.*"), ("x9", "~^x[0-9]"), ("x99", "~^x[0-9]"), ("", None), ("y", None),
    ],
)  # fmt: skip
def test_exact_names_come_first_then_heads_then_tails_then_expressions(asked: str, found: str | None) -> None:
    names = ("a.example", "*.a.example", "*.b.a.example", "*.example", ".dot", "www.a.*", "www.*", "~^x[0-9]", "~^x")
    assert table(*names).find(asked.encode()) == found


@pytest.mark.parametrize(
    ("there", "new", "outcome"),
    [
        ("a", "a", Added.CONFLICT), ("*.a", "*.a", Added.CONFLICT), (".a", "*.a", Added.CONFLICT),
        (".a", "a", Added.CONFLICT), ("a", ".a", Added.CONFLICT), ("a.*", "a.*", Added.CONFLICT),
        ("*.a", "a", Added.DONE), ("a", "a.*", Added.DONE), ("", "", Added.CONFLICT), ("a", "*.a.*", Added.INVALID),
        ("a", "b*", Added.INVALID), ("a", "a..b", Added.INVALID),
    ],
)  # fmt: skip
def test_what_is_there_already_conflicts(there: str, new: str, outcome: Added) -> None:
    assert table(there).add(ServerName(new.encode()), "new") is outcome

from __future__ import annotations

import pytest

from mailworker.config.lexer import Ending, Lexer
from mailworker.errors import ConfigError


def read_all(data: bytes, name: str | None = "f") -> list[tuple[list[str], str, int]]:
    """Every statement with the line on which it ended."""
    lexer = Lexer(data, name)
    found = []
    while (statement := lexer.next()).ending is not Ending.FILE_DONE:
        found.append((statement.words, statement.ending.value, lexer.line))
    return found


@pytest.mark.parametrize(
    ("data", "statements"),
    [
        (b"", []),
        (b"# only this", []),
        (b"a;", [(["a"], ";", 1)]),
        (b"a b {\n}\n", [(["a", "b"], "{", 1), ([], "}", 2)]),
        (b"a\n b # why\n c\n;", [(["a", "b", "c"], ";", 4)]),
        (b"a'b' c#d;", [(["a'b'", "c#d"], ";", 1)]),
        (b"a \"b;{}#\n'\" 'c\"';", [(["a", "b;{}#\n'", 'c"'], ";", 2)]),
        (rb'a "\"\\\t\r\n\;\x";', [(["a", '"\\\t\r\n\\;\\x'], ";", 1)]),
        (rb"a b\ c \; d\{;", [(["a", r"b\ c", r"\;", r"d\{"], ";", 1)]),
        (b"a ${b}c $d${{{e;", [(["a", "${b}c", "$d${{{e"], ";", 1)]),
        (b'a "b")c;', [(["a", "b", ")c"], ";", 1)]),
        (b'a "b"{', [(["a", "b"], "{", 1)]),
        (b"a}b imap};", [(["a}b", "imap}"], ";", 1)]),
        (b"a\x0bb\xc2\xa0c;", [(["a\x0bb\xa0c"], ";", 1)]),
        (b"a ''\t\"\";", [(["a", "", ""], ";", 1)]),
        (b"a\r\nb;\rc;", [(["a", "b"], ";", 2), (["c"], ";", 2)]),
        (b"a \xff;", [(["a", "\udcff"], ";", 1)]),
    ],
)
def test_words_are_split_and_decoded_as_nginx_does(data: bytes, statements: list[tuple[list[str], str, int]]) -> None:
    assert read_all(data) == statements


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n;", 'unexpected ";" in f:2'),
        (b"{", 'unexpected "{" in f:1'),
        (b"a }", 'unexpected "}" in f:1'),
        (b'a "b"\xe9;', 'unexpected "\udce9" in f:1'),
        (b"a\n", 'unexpected end of file, expecting ";" or "}" in f:2'),
        (b"a 'b\n\n;", 'unexpected end of file, expecting ";" or "}" in f:3'),
        (b"a \\", 'unexpected end of file, expecting ";" or "}" in f:1'),
        (b"a 'b'", 'unexpected end of file, expecting ";" or "}" in f:1'),
        (b"\na " + b"b" * 5000 + b";", 'too long parameter "bbbbbbbbbb..." started in f:2'),
        (b"#" + b"b" * 5000 + b"\n", 'too long parameter "#bbbbbbbbb..." started in f:1'),
        (b'a\n"' + b"\n" * 5000, 'too long parameter, probably missing terminating """ character in f:2'),
        (b"a\n'" + b"\n" * 5000, 'too long parameter, probably missing terminating "\'" character in f:2'),
    ],
)
def test_what_is_no_statement_is_refused_in_nginx_s_words(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_all(data)
    assert str(caught.value) == message


def test_words_of_the_command_line_have_no_longest_length() -> None:
    word = "b" * 10_000
    assert read_all(b"a " + word.encode() + b";", None) == [(["a", word], ";", 1)]


def test_an_unfinished_directive_of_the_command_line_has_its_own_text() -> None:
    with pytest.raises(ConfigError, match='unexpected end of parameter, expecting ";" in command line'):
        read_all(b"daemon off", None)

"""Two words of ManageSieve that are not handed on, wherever servers may find them; in C and in Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.sieve_lines import LINES, Make

both = pytest.mark.parametrize("make", LINES.values(), ids=LINES)

U = b"UNAUTHENTICATE\r\n"
LITERAL = b"{16+}\r\n" + U

MARGIN = 100  # bytes; further inside, a long string is one byte again and again
REFUSED = {
    "the command": U,
    "in small letters": b"unauthenticate\r\n",
    "in letters of both kinds": b"uNaUtHeNtIcAtE\r\n",
    "without an end": b"UNAUTHENTICATE",
    "with more letters": b"UNAUTHENTICATEX\r\n",
    "with an argument": b'UNAUTHENTICATE "x"\r\n',
    "LF alone": b"NOOP\nUNAUTHENTICATE\n",
    "CR alone": b"NOOP\rUNAUTHENTICATE\r",
    "behind other commands": b'NOOP "x"\r\nLISTSCRIPTS\r\n' + U,
    "behind an empty line": b"\r\n" + U,
    "behind a blank": b" " + U,
    "behind a tab": b"\t" + U,
    "behind NUL": b"\0" + U,
    "behind a number": b"5 " + U,
    "behind another word": b"X " + U,
    "behind a string": b'"x" ' + U,
    "behind a parenthesis": b"(" + U,
    "behind a command and NUL": b"NOOP\0" + U,
    "behind the argument of a command": b'NOOP "x" ' + U,
    "in quotation marks": b'"UNAUTHENTICATE"\r\n',
    "behind its own beginning": b"UNAU" + U,
    "a literal as the command": b"{14+}\r\n" + U,
    "a literal of an unknown command": b"FOO " + LITERAL,
    "a literal of a command without arguments": b"LISTSCRIPTS " + LITERAL,
    "a literal behind an atom": b"PUTSCRIPT x " + LITERAL,
    "a literal behind two blanks": b'PUTSCRIPT "x"  ' + LITERAL + b"{16+}\r\n",
    "a literal too many": b'PUTSCRIPT "x" "y" ' + LITERAL,
    "a literal that waits": b'PUTSCRIPT "x" {16}\r\n' + U,
    "a literal and a blank": b'PUTSCRIPT "x" {16+} \r\n' + U,
    "a literal and LF alone": b'PUTSCRIPT "x" {16+}\n' + U,
    "a literal and CR alone": b'PUTSCRIPT "x" {16+}\r' + U,
    "a literal with a zero before its size": b'PUTSCRIPT "x" {016+}\r\n' + U,
    "a literal without a size": b'PUTSCRIPT "x" {+}\r\n' + U,
    "a literal of 2^32": b'PUTSCRIPT "x" {4294967296+}\r\n',
    "a literal of many digits": b'PUTSCRIPT "x" {99999999999+}\r\n',
    "a name that is too long a literal": b"SETACTIVE {1025+}\r\n",
    "a name with NUL": b"SETACTIVE {1+}\r\n\0\r\n",
    "a name that is no text": b"SETACTIVE {1+}\r\n\xff\r\n",
    "a name that ends in a character": b"SETACTIVE {1+}\r\n\xc3\r\n",
    "a literal behind a string that is no text": b'PUTSCRIPT "\xff" ' + LITERAL,
    "a literal behind a wrong escape": b'PUTSCRIPT "a\\b" ' + LITERAL,
    "a literal behind a long string": b'PUTSCRIPT "%b" ' % (b"a" * 1025) + LITERAL,
    "behind a literal": b'PUTSCRIPT "x" {5+}\r\nkeep;' + U,
    "behind a literal and a blank": b'PUTSCRIPT "x" {5+}\r\nkeep; ' + U,
    "behind a literal and LF": b'PUTSCRIPT "x" {5+}\r\nkeep;\n' + U,
    "behind an empty literal": b'PUTSCRIPT "x" {0+}\r\n\r\n' + U,
    "a string that is not closed": b'PUTSCRIPT "a\r\n',
    "a string with LF": b'PUTSCRIPT "a\nb"\r\n',
    "a string with NUL": b'PUTSCRIPT "a\0b"\r\n',
    "a string with CR behind a backslash": b'PUTSCRIPT "a\\\rb"\r\n',
    "a string that is not closed, of an unknown command": b'FOO "a\r\n',
    "in a string behind what is no text": b'PUTSCRIPT "\xff UNAUTHENTICATE"\r\n',
    "in a string behind a letter that is not ASCII": b'PUTSCRIPT "\xc3\xa4 UNAUTHENTICATE"\r\n',
    "in a string behind a wrong escape": b'PUTSCRIPT "\\a UNAUTHENTICATE"\r\n',
    "from the byte on that is no text": b'PUTSCRIPT "\xc3UNAUTHENTICATE"\r\n',
    "in a script whose name is not ASCII": b'PUTSCRIPT "\xc3\xa4" ' + LITERAL,
    "a literal in a script whose name is not ASCII": b'PUTSCRIPT "\xc3\xa4" {6+}\r\n{16+}\r\r\n',
    "STARTTLS": b"STARTTLS\r\n",
    "STARTTLS in small letters, behind a word": b"x starttls\r\n",
}

TAKEN = {
    "all commands": b'CAPABILITY\r\nLISTSCRIPTS\r\nHAVESPACE "x" 200000\r\nGETSCRIPT "x"\r\nSETACTIVE ""\r\n'
    b'RENAMESCRIPT "a" "b"\r\nDELETESCRIPT "b"\r\nNOOP\r\nNOOP "x"\r\nAUTHENTICATE "PLAIN"\r\nLOGOUT\r\n',
    "in small letters": b'putscript "x" ' + LITERAL + b"\r\nnoop\r\n",
    "a script that is the word": b'PUTSCRIPT "x" ' + LITERAL + b"\r\n",
    "a script that is checked": b"CHECKSCRIPT " + LITERAL + b"\r\n",
    "a script of lines that look like literals": b'PUTSCRIPT "x" {9+}\r\n{16+}\r\n{2\r\nNOOP\r\n',
    "a script whose name is a literal": b"PUTSCRIPT {1+}\r\nx " + LITERAL + b"\r\n",
    "a script whose name is the word": b'PUTSCRIPT "UNAUTHENTICATE" ' + LITERAL + b"\r\nGETSCRIPT {14+}\r\n" + U,
    "a script whose name is quoted twice": b'PUTSCRIPT "a\\"\\\\" ' + LITERAL + b"\r\n",
    "a script whose name is not ASCII": b'PUTSCRIPT "\xf0\x9f\x93\xac" {11+}\r\nif x {\r\n"}"\r\n',
    "a script whose name is a literal that is not ASCII": b"PUTSCRIPT {2+}\r\n\xc3\xa4 " + LITERAL + b"\r\n",
    "an empty script": b'PUTSCRIPT "x" {0+}\r\n\r\nNOOP\r\n',
    "a name of 1,024 bytes": b'SETACTIVE "%b"\r\nSETACTIVE {1024+}\r\n%b\r\n' % (b"a" * 1024, b"a" * 1024),
    "the largest script": b'PUTSCRIPT "x" {4294967295+}\r\n' + U,
    "unknown commands": b'XFOO "UNAUTH" 5\r\nCOMPRESS\r\n',
    "AUTHENTICATE": b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n',
    "UNAUTHENTICAT": b"UNAUTHENTICAT\r\nUNAUTHENTICA TE\r\n",
}


@both
@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED)
def test_what_may_make_a_client_another_user_is_refused_however_it_is_cut(make: Make, said: bytes) -> None:
    assert make().refuses(said)
    line = make()
    assert any(line.refuses(said[i : i + 1]) for i in range(len(said)))
    for cut in range(1, len(said)):
        if min(cut, len(said) - cut) < MARGIN:
            line = make()
            assert line.refuses(said[:cut]) or line.refuses(said[cut:])


@both
@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_what_rfc_5804_has_is_handed_on_however_it_is_cut(make: Make, said: bytes) -> None:
    line = make()
    assert not line.refuses(said * 2 if b"4294967295" not in said else said)
    line = make()
    assert not any(line.refuses(said[i : i + 1]) for i in range(len(said)))


@both
@pytest.mark.parametrize("said", [U, b"STARTTLS\r\n"])
def test_no_whole_word_is_handed_on(make: Make, said: bytes) -> None:
    line = make()
    handed_on = b""
    for i in range(len(said)):
        if line.refuses(said[i : i + 1]):
            break
        handed_on += said[i : i + 1]
    assert handed_on == said[:-3]


_PIECES = st.sampled_from(
    [b"PUTSCRIPT", b"CHECKSCRIPT", b"SETACTIVE", b"NOOP", b"UNAUTHENTICATE", b"UNAU", b"starttls", b"{2+}\r\n", b"{0+}",
     b"{1}", b"{", b"+", b"}", b'"', b'"x"', b" ", b"\\", b"\r\n", b"\n", b"\r", b"\0", b"\xc3", b"\xa4", b"\xf4", b"x",
     b"\xe0\xa0\x80", b"\xed\xa0\x80", b"16", b"(", b'PUTSCRIPT "x" {3+}\r\n', b"SETACTIVE {2+}\r\n"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(_PIECES | st.binary(max_size=3), max_size=12))
def test_both_take_and_refuse_the_same_in_any_pieces(pieces: list[bytes]) -> None:
    whole = LINES["Python"]().refuses(b"".join(pieces))
    for make in LINES.values():
        line = make()
        assert any(line.refuses(piece) for piece in pieces) is whole
        assert make().refuses(b"".join(pieces)) is whole

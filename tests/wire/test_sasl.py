"""SASL responses as nginx takes them, and where mailworker is stricter."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.wire.sasl import (
    PASSWORD_PROMPT,
    USERNAME_PROMPT,
    check_digest,
    decode,
    decode_base64,
    decode_cram_md5,
    decode_oauthbearer,
    decode_plain,
    decode_xoauth2,
    encode_token,
    mechanism_named,
)
from mailworker.wire.secret import Secret

BAD_BASE64 = [b"*", b"!!!!", b"A", b"AAAAA", b"A=", b"AA A", b"AA\0A", b"AA\xffA", b"AA-_", b"AA\n"]


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (b"", b""),
        (b"=", b""),
        (b"====", b""),
        (b"=!", b""),
        (b"dQ==", b"u"),
        (b"dQ=", b"u"),
        (b"dQ", b"u"),
        (b"dXY", b"uv"),
        (b"dXY=", b"uv"),
        (b"dXZ3", b"uvw"),
        (b"dQ==dQ==", b"u"),
        (b"dQ=\xff\0*", b"u"),
        (b"dR", b"u"),
        (b"+/+/", b"\xfb\xff\xbf"),
    ],
)
def test_base64_is_read_up_to_the_first_padding(text: bytes, decoded: bytes) -> None:
    assert decode_base64(text) == decoded


@pytest.mark.parametrize("text", BAD_BASE64)
def test_base64_refuses_foreign_bytes_and_impossible_lengths(text: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^client sent invalid base64 encoding$") as raised:
        decode_base64(text)
    assert raised.value.party is Party.CLIENT


@given(st.binary(max_size=100), st.booleans())
def test_base64_gives_back_what_was_encoded(data: bytes, padded: bool) -> None:
    text = b64encode(data)
    assert decode_base64(text if padded else text.rstrip(b"=")) == data


@given(st.binary(max_size=20))
def test_any_bytes_decode_or_are_the_clients_error(text: bytes) -> None:
    try:
        assert len(decode_base64(text)) <= len(text)
    except ProtocolError as error:
        assert error.party is Party.CLIENT


@pytest.mark.parametrize(
    ("message", "authzid", "login", "password"),
    [
        (b"\0u\0p", b"", b"u", b"p"),
        (b"\0u\0", b"", b"u", b""),
        (b"u\0u\0p", b"u", b"u", b"p"),
        (b"admin\0u\0p", b"admin", b"u", b"p"),
        (b"\xff \0u\0p", b"\xff ", b"u", b"p"),
        (b"\0u v\0 p ", b"", b"u v", b" p "),
        (b"\0\xff%\0\r\n\xfe", b"", b"\xff%", b"\r\n\xfe"),
    ],
)
def test_plain_gives_both_names_and_the_password(message: bytes, authzid: bytes, login: bytes, password: bytes) -> None:
    assert decode_plain(b64encode(message)) == (authzid, login, Secret(password))


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (b"", "login"),
        (b"u", "login"),
        (b"u\0", "login"),
        (b"\0", "login"),
        (b"\0\0", "login"),
        (b"\0\0p", "login"),
        (b"\0u", "password"),
        (b"u\0p", "password"),
        (b"\0u\0p\0w", "password"),
        (b"\0u\0p\0", "password"),
        (b"\0u\0\0", "password"),
    ],
)
def test_plain_refuses_missing_parts_and_stray_nul(message: bytes, wrong: str) -> None:
    with pytest.raises(ProtocolError, match=f"^client sent invalid {wrong} in AUTH PLAIN command$"):
        decode_plain(b64encode(message))


@pytest.mark.parametrize("text", BAD_BASE64)
def test_bad_base64_is_logged_with_the_mechanism(text: bytes) -> None:
    decoders: dict[str, Callable[[bytes], object]] = {
        "PLAIN": decode_plain,
        "LOGIN": lambda text: decode(text, AuthMethod.LOGIN),
        "CRAM-MD5": decode_cram_md5,
        "EXTERNAL": lambda text: decode(text, AuthMethod.EXTERNAL),
        "XOAUTH2": decode_xoauth2,
        "OAUTHBEARER": decode_oauthbearer,
    }
    for mechanism, decoder in decoders.items():
        with pytest.raises(ProtocolError, match=f"^client sent invalid base64 encoding in AUTH {mechanism} command$"):
            decoder(text)


@pytest.mark.parametrize("method", [AuthMethod.LOGIN, AuthMethod.EXTERNAL])
def test_login_and_external_take_anything_even_nothing(method: AuthMethod) -> None:
    assert decode(b"dSB2", method) == b"u v"
    assert decode(b"=", method) == decode(b"", method) == b""


@pytest.mark.parametrize(
    ("message", "login", "digest"),
    [
        (b"u " + b"0" * 32, b"u", b"0" * 32),
        (b" " + b"0" * 32, b"", b"0" * 32),
        (b"u " + b" " * 32, b"u", b" " * 32),
        (b"u \0" + b"\xff" * 31, b"u", b"\0" + b"\xff" * 31),
        (b"u v " + b"0" * 32, b"u", b"v " + b"0" * 32),
        (b"u", b"", b""),
        (b"\0u\0secret", b"", b""),
    ],
)
def test_cram_md5_splits_at_the_first_space(message: bytes, login: bytes, digest: bytes) -> None:
    assert decode_cram_md5(b64encode(message)) == (login, Secret(digest))


@pytest.mark.parametrize("digest", [b"", b"0" * 31, b"0" * 33])
def test_cram_md5_wants_a_digest_of_32_bytes(digest: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command$"):
        check_digest(Secret(digest))


def test_a_digest_may_be_any_32_bytes() -> None:
    check_digest(Secret(bytes(32)))


@pytest.mark.parametrize(
    ("message", "login", "token"),
    [
        (b"user=u@v\x01auth=Bearer t.-_~+/=\x01\x01", b"u@v", b"t.-_~+/="),
        (b"USER=u\x01Auth=BEARER t\x01\x01", b"u", b"t"),
        (b"user=\x01auth=Bearer t t\x01\x01", b"", b"t t"),
        (b"user=user=\x01auth=Bearer t\x01\x01", b"user=", b"t"),
    ],
)
def test_xoauth2_gives_login_and_token(message: bytes, login: bytes, token: bytes) -> None:
    assert decode_xoauth2(b64encode(message)) == (login, Secret(token))


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (b"", "login"),
        (b"user=u", "login"),
        (b"name=u\x01auth=Bearer t\x01\x01", "login"),
        (b"n,a=u,\x01auth=Bearer t\x01\x01", "login"),
        (b"user=u\x01", "token"),
        (b"user=u\x01auth=Basic t\x01\x01", "token"),
        (b"user=u\x01auth=Bearer \x01\x01", "token"),
        (b"user=u\x01auth=Bearer t", "token"),
        (b"user=u\x01auth=Bearer t\x01", "token"),
        (b"user=u\x01auth=Bearer t\x01\x01x", "token"),
        (b"user=u\x01host=h\x01auth=Bearer t\x01\x01", "token"),
    ],
)
def test_xoauth2_refuses_missing_parts(message: bytes, wrong: str) -> None:
    with pytest.raises(ProtocolError, match=f"^client sent invalid {wrong} in AUTH XOAUTH2 command$"):
        decode_xoauth2(b64encode(message))


@pytest.mark.parametrize(
    ("message", "login"),
    [
        (b"n,a=u@v,\x01auth=Bearer t\x01\x01", b"u@v"),
        (b"n,a=u,\x01host=h\x01port=143\x01auth=Bearer t\x01\x01", b"u"),
        (b"n,a=u,\x01AUTH=bearer t\x01host=h\x01\x01", b"u"),
        (b"y,a=u=2Cv=3Dw=3D2C,\x01auth=Bearer t\x01", b"u,v=w=2C"),
        (b"n,,\x01auth=Bearer t\x01\x01", b""),
        (b"y,,\x01host=h\x01auth=Bearer t\x01\x01", b""),
        (b"p=tls-unique,a=\xff,\x01auth=Bearer t\x01\x01", b"\xff"),
        (b"n,a=u,\x01xauth=Bearer x\x01auth=Bearer t\x01\x01", b"u"),
    ],
)
def test_oauthbearer_gives_login_and_token(message: bytes, login: bytes) -> None:
    assert decode_oauthbearer(b64encode(message)) == (login, Secret(b"t"))


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (b"", "login"),
        (b"n,\x01auth=Bearer t\x01\x01", "login"),
        (b",\x01auth=Bearer t\x01\x01", "login"),
        (b"n,,auth=Bearer t\x01\x01", "login"),
        (b"n,a=,\x01auth=Bearer t\x01\x01", "login"),
        (b"n,a=u=2cv,\x01auth=Bearer t\x01\x01", "login"),
        (b"n,a=u=,\x01auth=Bearer t\x01\x01", "login"),
        (b"n,a=u\x01auth=Bearer t\x01\x01", "login"),
        (b"user=u\x01auth=Bearer t\x01\x01", "login"),
        (b"n,a=u,\x01", "token"),
        (b"n,a=u,\x01auth=\x01\x01", "token"),
        (b"n,a=u,\x01auth=Bearer \x01\x01", "token"),
        (b"n,a=u,\x01auth=Bearer t", "token"),
        (b"n,a=u,\x01\x01auth=Bearer t\x01\x01", "token"),
    ],
)
def test_oauthbearer_refuses_missing_parts(message: bytes, wrong: str) -> None:
    with pytest.raises(ProtocolError, match=f"^client sent invalid {wrong} in AUTH OAUTHBEARER command$"):
        decode_oauthbearer(b64encode(message))


@pytest.mark.parametrize(("method", "name"), [(each, names.sasl) for each, names in METHOD_NAMES.items() if names.sasl])
def test_mechanisms_are_named_in_any_case(method: AuthMethod, name: str) -> None:
    assert {mechanism_named(spelled.encode()) for spelled in (name, name.lower(), name.capitalize())} == {method}


@pytest.mark.parametrize("name", [b"", b"PLAI", b"PLAINX", b"GSSAPI", b"CRAM_MD5", b"APOP", b"NONE", b"\xff"])
def test_unknown_mechanisms_have_none(name: bytes) -> None:
    assert mechanism_named(name) is None


def test_prompts_are_base64() -> None:
    assert decode_base64(USERNAME_PROMPT) == b"Username:"
    assert decode_base64(PASSWORD_PROMPT) == b"Password:"


@pytest.mark.parametrize("size", [1, 2, 3, 127, 128, 3500, 4095, 4096, 4097, 12288, 65536])
def test_tokens_of_every_size_are_read(size: int) -> None:
    token = b"t" * size
    assert decode_xoauth2(b64encode(b"user=u\x01auth=Bearer %b\x01\x01" % token)) == (b"u", Secret(token))
    assert decode_oauthbearer(b64encode(b"n,,\x01auth=Bearer %b\x01\x01" % token)) == (b"", Secret(token))
    assert decode_plain(b64encode(b"\0u\0" + token)) == (b"", b"u", Secret(token))


@given(st.binary(max_size=50), st.binary(min_size=1, max_size=200))
def test_tokens_are_sent_on_as_they_are_read(name: bytes, token: bytes) -> None:
    name, token = (each.translate(None, b"\0\1") or b"x" for each in (name, token))
    for method, decoder in ((AuthMethod.XOAUTH2, decode_xoauth2), (AuthMethod.OAUTHBEARER, decode_oauthbearer)):
        read, secret = decoder(encode_token(method, name, token))
        assert (read, secret.revealed) == (name, token)


@pytest.mark.parametrize("method", [AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_a_name_that_would_be_more_than_one_field_is_not_sent_on(method: AuthMethod) -> None:
    with pytest.raises(ProtocolError) as raised:
        encode_token(method, b"user\1auth=Bearer other\1", b"token")
    assert raised.value.party is Party.CLIENT


def test_a_token_without_a_name_is_sent_on_without_one() -> None:
    assert encode_token(AuthMethod.OAUTHBEARER, b"", b"token") == b64encode(b"n,,\x01auth=Bearer token\x01\x01")

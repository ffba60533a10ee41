"""One connection's facts; what the steps do is tested in tests/tls."""

from __future__ import annotations

import re
import socket

from mailworker.native.tls import connection
from mailworker.native.tls._native import ffi
from mailworker.native.tls.connection import PAGE, PAGE_SIZE, PAGE_VIEW, Connection, Io
from mailworker.native.tls.context import Context
from tests.event.relays import MakeLine


def test_before_a_handshake_nothing_is_agreed_on(line_context: Context) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        server = Connection(line_context, ours.fileno())
        assert connection.handshake(server.handle, False) < 0  # it waits for the client
        assert (server.alpn, server.server_name, server.peer_certificate, server.session) == (None, None, None, None)
        assert (server.reused, server.pending()) == (False, False)
        assert (server.curve, server.signature_scheme, server.session_id) == (None, None, None)
        theirs.close()
        assert connection.handshake(server.handle, False) == 0
        server.free()


def test_after_it_both_sides_say_the_same(make_line: MakeLine) -> None:
    line = make_line(tls=True)
    server = line.native
    assert server is not None
    assert server.address != 0
    assert server.verify_result == (0, "ok")
    assert server.certificate.common_name == b"mail.example.com"
    assert server.protocol == line.peer.version()  # type: ignore[attr-defined]
    assert server.cipher == line.peer.cipher()[0]  # type: ignore[attr-defined]
    assert server.curve in (b"X25519", b"prime256v1", b"0x11ec")  # X25519MLKEM768, from OpenSSL 3.5 on
    assert server.signature_scheme == b"ecdsa_secp256r1_sha256"
    assert server.session_id is not None
    assert re.fullmatch(rb"[0-9a-f]{64}", server.session_id)
    assert connection.write(server.handle, b"greeting", 8) == 8
    assert line.peer.recv(64) == b"greeting"


def test_the_systems_error_of_a_step_is_kept(make_line: MakeLine) -> None:
    line = make_line(tls=True)
    assert line.native is not None
    line.peer.close()
    answers = [connection.write(line.native.handle, b"x", 1) for _ in range(2)]
    assert answers[-1] == Io.SYSTEM
    assert connection.last_errno() == 32


def test_what_is_read_into_the_page_is_copied_out_of_it() -> None:
    PAGE[0:3] = b"abc"
    copied = PAGE_VIEW[:3]
    PAGE[0:3] = b"xyz"
    assert (copied, PAGE_VIEW[:3]) == (b"abc", b"xyz")


def test_a_record_of_tls_fits_into_the_page() -> None:
    assert len(PAGE_VIEW) == ffi.sizeof(PAGE) == PAGE_SIZE >= 1 << 14

from __future__ import annotations

from typing import Any

import pytest

from mailworker.errors import ConnectionLost, Party, PeerError, TimedOut
from mailworker.event.stream import Stream
from mailworker.event.task import sleep, wait_for
from tests.support.memory_stream import CLIENT_TIMED_OUT, MemoryStream, MemoryTls, run


def test_reads_follow_the_script_and_end_with_it() -> None:
    stream: Stream = MemoryStream(b"hello", b"world")
    assert [run(stream.read(limit)) for limit in (2, 100, 100, 100, 100)] == [b"he", b"llo", b"world", b"", b""]


def test_what_is_peeked_at_stays_to_be_read() -> None:
    stream = MemoryStream(b"hello")
    assert run(stream.peek(2)) == b"he"
    assert run(stream.read(100)) == b"hello"
    assert run(stream.peek(2)) == b""


@pytest.mark.parametrize("error", [CLIENT_TIMED_OUT, ConnectionLost(Party.CLIENT, "recv()", 104)])
def test_a_scripted_error_is_raised_in_its_turn(error: PeerError) -> None:
    stream = MemoryStream(b"hello", error, b"again")
    assert run(stream.read(100)) == b"hello"
    with pytest.raises(type(error)):
        run(stream.read(100))
    assert run(stream.read(100)) == b"again"


def test_notes_what_is_written_and_until_when_is_waited() -> None:
    stream = MemoryStream(b"x")
    stream.deadline = 7.0
    run(stream.write(b"one"))
    run(stream.read(1))
    run(stream.write(b"two"))
    stream.close()
    assert stream.writes == [b"one", b"two"]
    assert stream.output == b"onetwo"
    assert stream.deadlines == [7.0]
    assert stream.closed


def test_the_script_can_go_on() -> None:
    stream = MemoryStream(b"one", CLIENT_TIMED_OUT)
    stream.then(b"two")
    assert stream.unread == b"onetwo"


def test_a_handshake_makes_it_secure() -> None:
    context: Any = None
    stream = MemoryStream()
    run(stream.start_tls(context))
    assert isinstance(stream.tls, MemoryTls)
    assert stream.tls.protocol == "TLSv1.3"
    refused = MemoryStream()
    refused.handshake_error = TimedOut(Party.CLIENT)
    with pytest.raises(TimedOut):
        run(refused.start_tls(context))


def test_what_no_real_stream_allows_fails() -> None:
    stream = MemoryStream(b"x", tls=MemoryTls())
    with pytest.raises(AssertionError, match="peek over TLS"):
        run(stream.peek(1))
    with pytest.raises(AssertionError, match="0 bytes"):
        run(stream.read(0))
    stream.close()
    with pytest.raises(AssertionError, match="read after close"):
        run(stream.read(1))
    with pytest.raises(AssertionError, match="write after close"):
        run(stream.write(b"x"))


def test_run_takes_no_time_over_pauses_and_waits_for_nothing_else() -> None:
    async def pauses() -> str:
        await sleep(3600.0)
        return "done"

    class Never:
        def park(self, task: object) -> None: ...
        def timed_out(self) -> None: ...

    async def waits() -> None:
        await wait_for(Never())

    assert run(pauses()) == "done"
    with pytest.raises(AssertionError, match="waits for"):
        run(waits())

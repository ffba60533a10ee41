"""A DNS server that answers from a script, over UDP and TCP on the same port of 127.0.0.1."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from mailworker.model import InetAddress
from tests.support.patience import PATIENCE

# Builds the datagrams, or the messages over TCP, that answer a query.
Answer = Callable[[dns.message.Message], list[bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query received: `source` is the port that it came from."""

    question: str
    transport: str
    id: int
    source: int


class NameServer:
    """Answers "NAME TYPE" by `answers`, other queries with NXDOMAIN; `asked` are the queries received.

    A connection is closed after its answers, but stays open where there is none.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self._datagrams, self._listening = _bind()
        self.address = InetAddress(*self._datagrams.getsockname())
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    @property
    def questions(self) -> list[str]:
        """The questions received, those by TCP marked."""
        return [asked.question + (" by TCP" if asked.transport == "tcp" else "") for asked in self.asked]

    def stop(self) -> None:
        for listening in (self._datagrams, self._listening):
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._datagrams.close()
        self._listening.close()

    def _serve_udp(self) -> None:
        while True:
            wire, source = self._datagrams.recvfrom(65535)
            if not wire:  # the result of shutdown()
                return
            for answer in self._answer(wire, "udp", source[1]):
                with suppress(BrokenPipeError):  # it was stopped meanwhile
                    self._datagrams.sendto(answer, source)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connected, source = self._listening.accept()
            except OSError:
                return
            with connected, suppress(OSError):
                connected.settimeout(PATIENCE)
                length = int.from_bytes(connected.recv(2), "big")
                answers = self._answer(connected.recv(length), "tcp", source[1])
                for answer in answers:
                    connected.sendall(answer)
                if not answers:  # silent, but still open: the client closes it
                    connected.recv(1)

    def _answer(self, wire: bytes, transport: str, source: int) -> list[bytes]:
        query = dns.message.from_wire(wire)
        question = f"{query.question[0].name.to_text(omit_final_dot=True)} {_type(query)}"
        self.asked.append(Asked(question, transport, query.id, source))
        answers = self.answers.get(f"{question} {transport}", self.answers.get(question, code("NXDOMAIN")))(query)
        if transport == "tcp":
            return [len(answer).to_bytes(2, "big") + answer for answer in answers]
        return answers


def records(*rrsets: tuple[str, int, str, str], rcode: str = "NOERROR", flags: int = 0) -> Answer:
    """An answer of (name, TTL, type, data)..."""

    def answer(query: dns.message.Message) -> list[bytes]:
        return [build(query, *rrsets, rcode=rcode, flags=flags).to_wire(max_size=65535)]

    return answer


def build(
    query: dns.message.Message, *rrsets: tuple[str, int, str, str], rcode: str = "NOERROR", flags: int = 0
) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.from_text(rcode))
    response.flags |= flags
    for name, ttl, type_, data in rrsets:
        response.answer.append(dns.rrset.from_text(name + ".", ttl, "IN", type_, data))
    return response


def code(rcode: str) -> Answer:
    return records(rcode=rcode)


def silence(query: dns.message.Message) -> list[bytes]:
    return []


def closing(query: dns.message.Message) -> list[bytes]:
    """Close the connection, by TCP, instead of answering."""
    raise ConnectionResetError


truncated = records(flags=dns.flags.TC)


def in_turn(*answers: Answer) -> Answer:
    """One answer after another, the last one for ever."""
    left = list(answers)

    def answer(query: dns.message.Message) -> list[bytes]:
        return (left[0] if len(left) == 1 else left.pop(0))(query)

    return answer


def _type(query: dns.message.Message) -> str:
    return dns.rdatatype.to_text(query.question[0].rdtype)


def _bind() -> tuple[socket.socket, socket.socket]:
    """A port that is free for both UDP and TCP, which the kernel promises for one only."""
    while True:
        listening = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listening.getsockname())
        except OSError as error:
            listening.close()
            datagrams.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return datagrams, listening

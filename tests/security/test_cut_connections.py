"""Rows 17 and 36: a connection that breaks at any byte of a login ends that session, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailworker.model import InetAddress
from tests.security.speech import Speech
from tests.security.stage import Stage, of_each
from tests.support.auth import accepted
from tests.support.fault_proxy import Ending, Fault, FaultProxy, Faults, always, cut

endings = pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET], ids=lambda ending: ending.name.lower())


@pytest.fixture
def broken(stage: Stage) -> Iterator[list[FaultProxy]]:
    """Fault proxies, which are gone when the stage looks at what is left."""
    made: list[FaultProxy] = []
    yield made
    for proxy in made:
        proxy.stop()


def _cuts(bytes_up: int, bytes_down: int, ending: Ending) -> Iterator[Faults]:
    """A cut behind each byte of both directions."""
    for after in range(1, bytes_up):
        yield Faults(up=cut(after, ending))
    for after in range(1, bytes_down):
        yield Faults(down=cut(after, ending))


@endings
@of_each
def test_a_client_is_cut_off_at_any_byte(
    stage: Stage, broken: list[FaultProxy], speech: Speech, ending: Ending
) -> None:
    proxy = FaultProxy(InetAddress(*stage.address(speech)))
    broken.append(proxy)
    said = speech.login + b"ping\r\n"
    heard = speech.greeting + speech.welcome + b"ping\r\n"
    for faults in _cuts(len(said), len(heard), ending):
        proxy.faults = always(faults)
        client = stage.connect_to(proxy.address)
        if client is not None:
            stage.say_what_fits(client, said)
            assert heard.startswith(client.rest())


@endings
@of_each
def test_a_backend_is_cut_off_at_any_byte(
    stage: Stage, broken: list[FaultProxy], speech: Speech, ending: Ending
) -> None:
    proxy = FaultProxy(stage.backends[speech.name].address)
    broken.append(proxy)
    stage.answer = accepted(proxy.address)
    answers = []
    for faults in _cuts(100, 50, ending):
        proxy.faults = always(faults)
        client = stage.greeted(speech)
        client.send(speech.login)
        answers.append(client.line())
        if answers[-1] == speech.welcome:  # what is cut is the relay
            client.send(b"x" * 100 + b"\r\n")
        client.rest()
    assert answers[0] == speech.internal
    assert set(answers) == {speech.internal, speech.welcome}


@endings
@of_each
def test_the_auth_service_is_cut_off_at_any_byte(stage: Stage, speech: Speech, ending: Ending) -> None:
    stage.answer = stage.accepting(speech)
    for faults in _cuts(150, len(stage.answer), ending):
        stage.faulty_auth.faults = always(faults)
        client = stage.greeted(speech, "faulty")
        client.send(speech.login)
        assert client.rest() == speech.internal


@of_each
def test_bytes_may_drip_from_everywhere(stage: Stage, broken: list[FaultProxy], speech: Speech) -> None:
    slow = Faults(up=Fault(piece=1), down=Fault(piece=1))
    to_us = FaultProxy(InetAddress(*stage.address(speech, "faulty")), slow)
    to_backend = FaultProxy(stage.backends[speech.name].address, slow)
    broken += (to_us, to_backend)
    stage.faulty_auth.faults = always(slow)
    stage.answer = accepted(to_backend.address)
    client = stage.connect_to(to_us.address)
    assert client is not None
    client.expect(speech.greeting)
    stage.log_in(client, speech)

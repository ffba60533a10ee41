from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from signal import SIGQUIT, SIGTERM, SIGUSR1
from unittest.mock import Mock

import pytest

from mailworker.errors import StartError
from mailworker.model import Level
from mailworker.process.channels import close_ends, open_channels
from mailworker.process.child_process import ChildProcess
from mailworker.process.children import Child, Children, Exit, Place
from mailworker.process.cycle import Cycle
from mailworker.process.link import (
    USERS,
    FileUpdate,
    LogLevel,
    Question,
    Receiver,
    ask,
    open_link,
    report_serving,
    send_files,
)
from mailworker.process.log_writer import LogWriter
from mailworker.process.status_process import StatusProcess
from mailworker.process.worker import Worker
from tests.process.heard import messages, paths
from tests.shm.test_counters import in_child
from tests.support.proxy import open_descriptors
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration


@pytest.fixture
def later() -> list[Callable[[], None]]:
    """What is to be done later."""
    return []


@pytest.fixture
def children(later: list[Callable[[], None]]) -> Iterator[Children]:
    children = Children(lambda: None, lambda: None, lambda seconds, action: later.append(action), daemonised=False)
    yield children
    children.close()


def child(
    number: int = 0, *, started: float = 0.0, leaving: bool = False, serves: bool = True, cycle: Cycle | None = None
) -> Child:
    cycle = cycle or Cycle(configuration(), (), RecordedLog().log)
    with socket.socket() as link:
        return Child(4711, Place(Worker, number), cycle, started, link, row=0, leaving=leaving, serves=serves)


Kills = list[tuple[int, int]]


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    """Signals that were sent, each with the process before it; process 404 is gone, and 403 may not be signalled."""
    sent: Kills = []

    def kill(pid: int, number: int) -> None:
        if pid == 404:
            raise ProcessLookupError
        if pid == 403:
            raise PermissionError(errno.EPERM, "")
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", kill)
    return sent


Made = Callable[..., tuple[Child, socket.socket]]


@pytest.fixture
def make(children: Children) -> Iterator[Made]:
    """Adds a child with this process id; gives it with its end of the link, which is "full" or "gone" on demand."""
    cycle, ends = Cycle(configuration(), (), RecordedLog().log), list[socket.socket]()

    def make(pid: int, kind: type[ChildProcess] = Worker, state: str = "") -> tuple[Child, socket.socket]:
        ours, theirs = open_link()
        ends.extend((ours, theirs))
        while state == "full" and send_files(ours, {}):
            pass
        if state == "gone":
            theirs.close()
        children._children[pid] = child = Child(pid, Place(kind, 0), cycle, 0.0, ours, row=pid)
        return child, theirs

    yield make
    close_ends(ends)


def failed(number: int = 0, *, started: float = 0.0) -> Exit:
    """The end of a worker by a fault of its own."""
    return Exit(4711, child(number, started=started), status=1 << 8)


def ended(*, code: int = 0, signal: int = 0, serves: bool = True) -> Exit:
    """The end of a worker that is young."""
    return Exit(4711, child(started=10.0, serves=serves), code << 8 | signal)


def test_a_master_without_descriptors_for_its_children_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(StartError, match=r"^pipe\(\) failed \(24: Too many open files\)$"):
        Children(lambda: None, lambda: None, lambda seconds, action: None, daemonised=False)


def test_a_worker_that_lived_is_replaced_at_once(children: Children) -> None:
    assert [children.pause(failed(started=10.0), now=20.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_place_that_dies_young_waits_longer_and_longer(children: Children) -> None:
    pauses = [children.pause(failed(started=10.0), now=10.1) for _ in range(10)]
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_place_that_recovers_starts_over(children: Children) -> None:
    for _ in range(3):
        children.pause(failed(started=10.0), now=10.1)
    assert children.pause(failed(started=10.0), now=20.0) == 0.0
    assert children.pause(failed(started=20.0), now=20.1) == 0.0


def test_places_do_not_wait_for_each_other(children: Children) -> None:
    for _ in range(3):
        children.pause(failed(0, started=10.0), now=10.1)
    assert children.pause(failed(1, started=10.0), now=10.1) == 0.0


@pytest.mark.parametrize("end", [ended(signal=9), ended(code=0)], ids=["killed", "told to go"])
def test_a_worker_that_others_end_is_replaced_at_once_however_often(children: Children, end: Exit) -> None:
    assert [children.pause(end, now=10.1) for _ in range(100)] == [0.0] * 100
    assert children.pause(failed(started=10.0), now=10.1) == 0.0  # which was no failure of its place


def test_a_worker_that_is_killed_before_it_serves_is_replaced_after_a_while(children: Children) -> None:
    assert [children.pause(ended(signal=9, serves=False), now=10.1) for _ in range(20)] == [0.25] * 20


def test_what_a_worker_has_told_before_its_end_is_heard_after_it(children: Children) -> None:
    def live() -> None:
        ours, theirs = open_link()
        pid = os.fork()
        if pid == 0:
            report_serving(theirs)
            os._exit(0)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        cycle = Cycle(configuration(), (), RecordedLog().log)
        children._children[pid] = Child(pid, Place(Worker, 0), cycle, 0.0, ours, row=0)
        (end,) = children.reap()
        assert end.child is not None and end.child.serves
        theirs.close()

    in_child(live)  # where nobody else has children that could be reaped


def test_a_worker_that_crashes_young_waits_longer_and_longer(children: Children) -> None:
    assert [children.pause(ended(signal=11), now=10.1) for _ in range(3)] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("ended", "lines"),
    [
        (Exit(4711, child(), 0), ["[notice] worker process 4711 exited with code 0"]),
        (Exit(4711, None, 1 << 8), ["[notice] new binary process 4711 exited with code 1"]),
        (Exit(4711, None, 2 << 8), ["[notice] new binary process 4711 exited with code 2"]),
        (Exit(4711, child(), 9), ["[alert] worker process 4711 exited on signal 9"]),
        (Exit(4711, child(), 11 | 0x80), ["[alert] worker process 4711 exited on signal 11 (core dumped)"]),
        (
            Exit(4711, child(), 2 << 8),
            [
                "[notice] worker process 4711 exited with code 2",
                "[alert] worker process 4711 exited with fatal code 2 and cannot be respawned",
            ],
        ),
        (Exit(4711, child(leaving=True), 2 << 8), ["[notice] worker process 4711 exited with code 2"]),
    ],
)
def test_the_log_says_how_a_worker_ended(ended: Exit, lines: list[str]) -> None:
    log = RecordedLog()
    ended.log(log.log)
    assert log.lines == lines


def test_a_helper_that_leaves_is_told_of_no_more_workers(children: Children) -> None:
    cycle = Cycle(configuration(), (), RecordedLog().log)
    links = [open_link() for _ in range(2)]
    for pid, (link, _) in enumerate(links):
        children._children[pid] = Child(pid, Place(LogWriter, 0), cycle, 0.0, link, row=0, leaving=pid == 0)
    theirs, own = open_channels([LogWriter.name])
    children._channels.keep(cycle, 4711, theirs)
    children.channel_retry.now()
    assert [Receiver(end).has_message for _, end in links] == [False, True]
    close_ends((*own.values(), *links[0], *links[1]))


def test_a_helper_without_room_is_told_later(children: Children, later: list[Callable[[], None]]) -> None:
    """Each worker that was started meanwhile began another series of tries."""
    cycle = Cycle(configuration(), (), RecordedLog().log)
    ours, theirs = open_link()
    while send_files(ours, {}):
        pass
    children._children[1] = Child(1, Place(LogWriter, 0), cycle, 0.0, ours, row=0)
    ends, own = open_channels([LogWriter.name])
    children._channels.keep(cycle, 4711, ends)
    for _ in range(3):
        children.channel_retry.now()
    receiver = Receiver(theirs)
    assert messages(receiver)
    (again,) = later
    again()
    assert later == [again]
    channel = receiver.take()
    own[LogWriter.name].send(b"heard")
    assert isinstance(channel, socket.socket)
    assert channel.recv(10) == b"heard"
    close_ends((*own.values(), channel, ours, theirs))


def test_a_worker_without_room_keeps_no_change_from_the_others(
    children: Children, later: list[Callable[[], None]]
) -> None:
    """The others got the first change again and again, and none that followed."""
    cycle, links = Cycle(configuration(), (), RecordedLog().log), [open_link() for _ in range(3)]
    places = (Place(Worker, 0), Place(Worker, 1), Place(LogWriter, 0))
    for pid, (place, (link, _)) in enumerate(zip(places, links, strict=True)):
        children._children[pid] = Child(pid, place, cycle, 0.0, link, row=0)
    while send_files(links[0][0], {}):
        pass
    receivers = [Receiver(end) for _, end in links]
    for path in ("a", "b", "a", "c"):
        children.file_updates.add(FileUpdate(USERS, path, os.open(os.devnull, os.O_RDONLY)))
    assert [*map(paths, receivers)] == [[], ["a", "b", "a", "c"], []]  # a log writer knows no users
    (again,) = later
    again()
    assert [*map(paths, receivers)] == [["b", "a", "c"], [], []]
    close_ends(end for link in links for end in link)


def test_who_cannot_be_killed_is_given_up(children: Children) -> None:
    log = RecordedLog()
    stuck, replaced, present = (child(cycle=Cycle(configuration(), (), log.log)) for _ in range(3))
    stuck.pid, replaced.pid = 1, 2
    children._children = {1: stuck, 2: present}
    children.forget([stuck, replaced], log.log)
    assert list(children) == [present]
    assert log.lines == ["[alert] worker process 1 could not be killed"]


def test_a_child_that_cannot_begin_ends(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor for its logs, the successor of a former cycle's log writer went on as a second master."""
    codes, log = list[int](), RecordedLog()

    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    former, present = (Cycle(configuration(), (), log.log) for _ in range(2))
    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "_exit", end)
    refused = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr("mailworker.process.logs.Logs.adopt", Mock(side_effect=refused))
    with pytest.raises(Ended):
        children.spawn(former, Place(LogWriter, 0), present)
    assert codes == [1]
    assert log.lines[0].startswith("[alert] OSError: [Errno 24] Too many open files")


@pytest.mark.parametrize("leaving", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize("present", [True, False], ids=["present cycle", "former cycle"])
@pytest.mark.parametrize("place", [Place(Worker, 0), Place(Worker, 1), Place(LogWriter, 0)], ids=str)
def test_a_place_is_filled_by_who_stays_in_it(
    children: Children, make: Made, leaving: bool, present: bool, place: Place
) -> None:
    found, _ = make(1)
    make(2, StatusProcess)
    found.leaving = leaving
    cycle = found.cycle if present else Cycle(configuration(), (), RecordedLog().log)
    assert children.are_in(place, cycle) == (present and not leaving and place == found.place)


def test_a_child_that_starts_has_the_first_row_that_is_free(
    children: Children, make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of shared zones, each of whose rows has one writer."""
    cycle, log = make(0)[0].cycle, RecordedLog()
    make(2)
    monkeypatch.setattr(os, "fork", iter([7, 8]).__next__)
    assert [children.spawn(cycle, Place(Worker, number), Cycle(configuration(), (), log.log)) for number in (1, 2)] == [
        None,
        None,
    ]
    started = [child for child in children if child.pid in {7, 8}]
    assert [(each.pid, each.place.number, each.row, each.leaving, each.serves) for each in started] == [
        (7, 1, 1, False, False),
        (8, 2, 3, False, False),
    ]
    assert log.lines == ["[notice] start worker process 7", "[notice] start worker process 8"]
    close_ends(each.link for each in started)


def test_a_fork_that_is_refused_is_told_and_leaves_nothing_open(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RecordedLog()
    refused = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    monkeypatch.setattr(os, "fork", Mock(side_effect=refused))
    cycle = Cycle(configuration(), (), log.log)
    before = open_descriptors()
    assert children.spawn(cycle, Place(Worker, 0), cycle, [LogWriter]) is refused
    assert log.lines == ['[alert] fork() failed while spawning "worker process" (11: Resource temporarily unavailable)']
    assert (len(children), open_descriptors()) == (0, before)


def test_what_children_say_is_heard_once(children: Children, make: Made) -> None:
    (worker, from_worker), (status, from_status) = make(1), make(2, StatusProcess)
    children.receive()
    assert (worker.serves, status.serves) == (False, False)
    questions = [Question(number, b"level", b"") for number in range(3)]
    for said in questions[:2]:
        ask(from_status, said)
        children.receive()
    report_serving(from_worker)
    report_serving(from_status)
    ask(from_worker, questions[0])  # which may ask nothing
    children.receive()
    ask(from_status, questions[2])
    assert children.take_questions() == [(status, said) for said in questions]
    assert children.take_questions() == []
    children.receive()
    assert (worker.serves, status.serves) == (True, True)


def level_of(theirs: socket.socket) -> list[int]:
    return [message.level for message in messages(Receiver(theirs)) if isinstance(message, LogLevel)]


def test_all_children_get_the_level_and_who_has_no_room_is_told(children: Children, make: Made) -> None:
    ends = [make(1)[1], make(2, LogWriter)[1]]
    assert children.limit_logs(Level.WARN)
    assert children.limit_logs(None)
    assert [level_of(end) for end in ends] == [[Level.WARN, 0]] * 2
    make(3, state="full")
    assert not children.limit_logs(Level.WARN)
    assert [level_of(end) for end in ends] == [[Level.WARN]] * 2


def test_who_has_no_room_for_logs_is_told_to_open_his_own(children: Children, make: Made, kills: Kills) -> None:
    cycle = make(1)[0].cycle
    make(2, state="full")
    make(404, state="gone")
    make(3, state="gone")
    children.hand_out_logs(cycle)
    assert kills == [(2, SIGUSR1), (3, SIGUSR1)]


def test_each_child_is_told_once_to_finish(children: Children, make: Made, kills: Kills) -> None:
    workers = [make(pid)[0] for pid in (1, 404, 2)]
    writer, _ = make(3, LogWriter)
    log = RecordedLog().log
    assert children.shut_down(lambda child: child.place.kind is Worker, log) == workers
    assert children.shut_down(lambda child: child is not writer, log) == []
    assert children.shut_down(lambda child: True, log) == [writer]
    assert kills == [(1, SIGQUIT), (2, SIGQUIT), (3, SIGQUIT)]
    children.signal(SIGTERM, lambda child: child is not workers[0], log)
    assert kills[3:] == [(2, SIGTERM), (3, SIGTERM)]


def test_a_child_that_cannot_be_told_is_told_again_and_others_at_once(
    children: Children, make: Made, kills: Kills
) -> None:
    """They stayed for ever beside the workers of the next configuration."""
    other, recorded = [make(pid)[0] for pid in (403, 2)][1], RecordedLog()
    assert [children.shut_down(lambda child: True, recorded.log) for _ in "ab"] == [[other], []]
    assert kills == [(2, SIGQUIT)]
    assert recorded.lines == ["[alert] kill(403, 3) failed (1: Operation not permitted)"] * 2

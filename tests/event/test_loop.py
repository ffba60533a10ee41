from __future__ import annotations

import socket
from contextlib import ExitStack
from time import monotonic

from mailworker.config.events import METHOD
from mailworker.event.poller import MANY, READ, WRITE, Poller
from tests.event.bench import Bench, Watcher
from tests.support.implementations import Implementation
from tests.support.patience import PATIENCE

Pair = tuple[socket.socket, socket.socket]


def test_a_handler_is_called_when_its_descriptor_is_ready(bench: Bench, pair: Pair) -> None:
    loop, watcher = bench.loop, Watcher(bench.loop.stop)
    loop.watch(pair[0].fileno(), READ, watcher)
    pair[1].send(b"x")
    loop.run()
    assert watcher.masks == [READ]


def test_other_events_call_another_handler(bench: Bench, pair: Pair) -> None:
    loop, first, second = bench.loop, Watcher(), Watcher(bench.loop.stop)
    loop.watch(pair[0].fileno(), READ, first)
    loop.change(pair[0].fileno(), WRITE, second)
    loop.run()
    assert not first.masks
    assert second.masks == [WRITE]


def test_who_has_input_of_its_own_is_called_in_the_next_round_without_waiting(bench: Bench) -> None:
    loop, watcher = bench.loop, Watcher()
    second = Watcher(loop.stop)
    first = Watcher(lambda: loop.again(second))
    loop.again(first)
    loop.again(watcher)
    loop.run()
    assert first.masks == watcher.masks == second.masks == [READ]
    assert bench.poller.rounds == 2


def test_who_is_to_be_called_again_does_not_wait_for_others(poller: Poller, implementation: Implementation) -> None:
    """Without the counting poller, which never waits again by itself."""
    bench = Bench(poller, implementation)
    loop = implementation.loop.Loop(bench.bugs.append, poller)
    loop.set_deadline(bench.alarm(loop.stop), loop.now + 5)
    watcher = Watcher(loop.stop)
    loop.again(Watcher(lambda: loop.again(watcher)))
    loop.run()
    assert watcher.masks == [READ]
    assert not bench.bugs


def test_who_asks_to_be_called_again_does_not_hold_up_the_others(bench: Bench, pair: Pair) -> None:
    loop = bench.loop
    hungry = Watcher(lambda: loop.again(hungry))
    loop.again(hungry)
    loop.watch(pair[0].fileno(), READ, Watcher(loop.stop))
    pair[1].send(b"x")
    loop.run()
    assert hungry.masks == [READ]


def test_late_handlers_are_called_before_the_loop_waits_again(bench: Bench, pair: Pair) -> None:
    loop, late = bench.loop, Watcher(bench.loop.stop)
    called: list[str] = []

    def put_off() -> None:
        loop.late.append(Watcher(lambda: called.append("first")))
        loop.late.append(Watcher(lambda: loop.late.append(late)))
        called.append("ready")
        pair[1].recv(1)

    loop.watch(pair[1].fileno(), READ, Watcher(put_off))
    pair[0].send(b"x")
    loop.run()
    assert called == ["ready", "first"]
    assert late.masks == [0]
    assert loop.late == []


def test_a_bug_of_a_late_handler_costs_no_other_its_turn(bench: Bench) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    loop, late = bench.loop, Watcher(bench.loop.stop)
    loop.late.extend([Watcher(fail), late])
    loop.run()
    assert late.masks == [0]
    assert [type(bug) for bug in bench.take_bugs()] == [ZeroDivisionError]


def test_late_handlers_wait_for_a_few_others_alone(poller: Poller, implementation: Implementation) -> None:
    """Without the counting poller, which serves one round at a time."""
    bench = Bench(poller, implementation)
    loop = implementation.loop.Loop(bench.bugs.append, poller)
    order: list[str] = []
    with ExitStack() as stack:
        for _ in range(MANY + 8):
            ours, theirs = (stack.enter_context(each) for each in socket.socketpair())
            theirs.send(b"x")

            def put_off(ours: socket.socket = ours) -> None:
                ours.recv(1)
                order.append("ready")
                loop.late.append(Watcher(lambda: order.append("late")))

            loop.watch(ours.fileno(), READ, Watcher(put_off))
        loop.set_deadline(bench.alarm(loop.stop), loop.now)
        loop.run()
        loop.serve_late()
    assert order.index("late") == MANY
    assert not bench.bugs


def test_a_deadline_is_met_and_never_early(bench: Bench) -> None:
    loop = bench.loop
    deadline = monotonic() + 0.03
    loop.set_deadline(bench.alarm(loop.stop), deadline)
    loop.run()
    assert deadline <= monotonic() < deadline + PATIENCE
    assert deadline <= loop.now


def test_a_cancelled_deadline_is_not_met(bench: Bench) -> None:
    loop = bench.loop
    met: list[str] = []
    cancelled = bench.alarm(lambda: met.append("cancelled"))
    loop.set_deadline(cancelled, loop.now + 0.01)
    loop.set_deadline(bench.alarm(loop.stop), loop.now + 0.03)
    loop.cancel_deadline(cancelled)
    loop.run()
    assert not met


def test_a_deadline_years_away_can_be_waited_for(bench: Bench, pair: Pair) -> None:
    loop = bench.loop
    loop.set_deadline(bench.alarm(lambda: None), loop.now + 10 * 365 * 24 * 3600.0)
    loop.watch(pair[0].fileno(), READ, Watcher(loop.stop))
    pair[1].send(b"x")
    loop.run()
    assert bench.poller.rounds == 1


def test_a_deadline_wakes_once(bench: Bench) -> None:
    loop = bench.loop
    loop.set_deadline(bench.alarm(loop.stop), loop.now + 0.05)
    loop.run()
    assert bench.poller.rounds <= 2


def test_stop_lets_the_round_end(bench: Bench, resources: ExitStack) -> None:
    loop = bench.loop
    watchers = [Watcher(loop.stop), Watcher(loop.stop)]
    for watcher in watchers:
        ours, theirs = socket.socketpair()
        resources.enter_context(ours)
        resources.enter_context(theirs)
        theirs.send(b"x")
        loop.watch(ours.fileno(), READ, watcher)
    loop.run()
    assert [watcher.masks for watcher in watchers] == [[READ], [READ]]
    assert bench.poller.rounds == 1


def test_what_is_unwatched_in_this_very_round_is_not_watched_afterwards(bench: Bench, pair: Pair) -> None:
    loop, descriptor = bench.loop, pair[0].fileno()
    watcher = Watcher(lambda: loop.unwatch(descriptor))
    loop.watch(descriptor, READ, watcher)
    loop.set_deadline(bench.alarm(loop.stop), loop.now + 0.02)
    pair[1].send(b"x")
    loop.run()
    assert watcher.masks == [READ]


def test_the_method_has_the_name_of_the_use_directive(poller: Poller, implementation: Implementation) -> None:
    assert implementation.loop.Loop(lambda bug: None, poller).method == poller.method
    assert poller.method in {"epoll", "kqueue", "poll", "select", "devpoll"}


def test_without_another_poller_it_is_the_best_of_the_system(implementation: Implementation) -> None:
    loop = implementation.loop.Loop(lambda bug: None)
    assert loop.method == METHOD
    loop.close()

from __future__ import annotations

import time

from mailworker.mail.counting import reloads
from mailworker.shm.counters import Counters
from mailworker.status.master_state import MasterState, MasterWord, Process, posted


def counters() -> Counters:
    made = Counters("status", tuple(map(reloads, (True, False))))
    made.stop_publishing()
    return made


def test_what_the_master_says_can_be_read() -> None:
    zone, state = counters(), MasterState()
    processes = [Process(4_000_000, 3, 12, True, False), Process(77, 5, 0, False, True)]
    state.publish(zone, processes, stopping=False)
    assert posted(zone) == processes
    assert abs(zone.master_word(MasterWord.STARTED) / 1e6 - time.time()) < 10
    assert (zone.master_word(MasterWord.STOPPING), zone.master_word(MasterWord.GENERATION)) == (0, 1)
    state.publish(zone, [], stopping=True)
    assert posted(zone) == []
    assert zone.master_word(MasterWord.STOPPING) == 1


def test_a_process_tells_itself_that_it_serves() -> None:
    zone = counters()
    MasterState().publish(zone, [Process(1, 2, 0, True, False)], stopping=False)
    zone.serve()
    zone.claim(2)
    assert [each.serves for each in posted(zone)] == [False]
    zone.serve()
    assert [each.serves for each in posted(zone)] == [True]
    zone.free(2)
    assert [each.serves for each in posted(zone)] == [False]


def test_reloads_are_counted_and_the_last_one_is_told_of() -> None:
    zone, state = counters(), MasterState()
    for succeeded in (True, False, False):
        state.reload(zone, None if succeeded else "it failed")
    state.reload(None, None)
    state.publish(zone, [], stopping=False)
    assert zone.read().totals == {reloads(True): 1, reloads(False): 2}
    assert (zone.master_word(MasterWord.GENERATION), zone.master_word(MasterWord.RELOAD_FAILED)) == (3, 0)
    assert zone.master_word(MasterWord.RELOADED) > zone.master_word(MasterWord.STARTED)

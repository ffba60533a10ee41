from __future__ import annotations

import time

from mailworker.mail.counting import reloads
from mailworker.shm.counters import Counters
from mailworker.status.standing import Process, Said, Standing, posted


def counters() -> Counters:
    made = Counters("status", tuple(map(reloads, (True, False))))
    made.stop_publishing()
    return made


def test_what_the_master_says_can_be_read() -> None:
    zone, standing = counters(), Standing()
    processes = [Process(4_000_000, 3, 12, True, False), Process(77, 5, 0, False, True)]
    standing.publish(zone, processes, stopping=False)
    assert posted(zone) == processes
    assert abs(zone.said(Said.STARTED) / 1e6 - time.time()) < 10
    assert (zone.said(Said.STOPPING), zone.said(Said.GENERATION)) == (0, 1)
    standing.publish(zone, [], stopping=True)
    assert posted(zone) == []
    assert zone.said(Said.STOPPING) == 1


def test_a_process_tells_itself_that_it_serves() -> None:
    zone = counters()
    Standing().publish(zone, [Process(1, 2, 0, True, False)], stopping=False)
    zone.serve()
    zone.claim(2)
    assert [each.serves for each in posted(zone)] == [False]
    zone.serve()
    assert [each.serves for each in posted(zone)] == [True]
    zone.free(2)
    assert [each.serves for each in posted(zone)] == [False]


def test_reloads_are_counted_and_the_last_one_is_told_of() -> None:
    zone, standing = counters(), Standing()
    for succeeded in (True, False, False):
        standing.reload(zone, None if succeeded else "it failed")
    standing.reload(None, None)
    standing.publish(zone, [], stopping=False)
    assert zone.read().totals == {reloads(True): 1, reloads(False): 2}
    assert (zone.said(Said.GENERATION), zone.said(Said.RELOAD_FAILED)) == (3, 0)
    assert zone.said(Said.RELOADED) > zone.said(Said.STARTED)

"""Any sessions and any peers, round by round: both engines notice the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailworker.event.choice import BASE64, NOTHING, WORD, Choice
from mailworker.event.plan import UNKNOWN
from tests.event.plays import KNOWN, LINES, OK
from tests.event.rounds import END, GIVE_UP, GO, HEAR, KICK, LATE, Round, Session, check_rounds

LONG = 30_000  # bytes, more than the buffer of a socket here
TEXTS = st.sampled_from((b"", b"a\r\n", b"b" * 70 + b"\r\n", b"c" * LONG + b"\r\n"))
STARTS, ARGUMENTS = st.sampled_from((b"", b"HI", b"HI ")), st.sampled_from((NOTHING, WORD, BASE64))
CHOICES = st.recursive(
    st.just(()),
    lambda next_: st.lists(
        st.builds(
            Choice, st.sampled_from((b"", b"HI", b"HI ")), st.sampled_from((NOTHING, WORD, BASE64)), TEXTS, next_
        ),
        max_size=3,
    ).map(tuple),
    max_leaves=6,
)
USUAL = st.sampled_from((OK, LINES, UNKNOWN, KNOWN)) | CHOICES.map(lambda choices: (b"\n", choices))
PLANS = st.lists(
    st.lists(st.tuples(st.none() | TEXTS, USUAL), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)
SESSIONS = st.lists(st.tuples(st.sampled_from((1, 5, 4096, 65536)), st.booleans(), PLANS), min_size=1, max_size=3)

WHOLE = b"OK\r\n", b"OK-1\r\nOK 2\r\n", b"HI\r\n", b"hi QUJD\r\n", b"QQ==\r\n", b"NO\r\n", b"OK {3}\r\n", b"OK" * LONG
CUT = b"OK\r", b"\n", b"OK-1\r\nOK", b"HI", b"\r\n", b" 2\r\n", b"\0", b"OK" + b"x" * 5000 + b"\r\n"
SAID = st.sampled_from(WHOLE) | st.sampled_from(CUT)
ACTS = SAID | SAID | st.sampled_from((HEAR, HEAR, HEAR, END, GO, LATE, KICK, GIVE_UP))
ROUNDS = st.lists(st.lists(st.tuples(st.integers(0, 2), ACTS), max_size=4), max_size=10)


@given(SESSIONS, ROUNDS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_both_engines_notice_the_same_in_each_round(sessions: list[Session], rounds: list[Round]) -> None:
    check_rounds(sessions, rounds)

from __future__ import annotations

import pytest

from mailworker.config.drafts import Context, Scope


class Draft:
    """A module's."""


def test_a_block_has_one_draft_of_each_kind_made_when_first_asked_for() -> None:
    scope = Scope(Context.MAIL)
    assert not scope.has(Draft)
    assert not scope.kinds
    assert scope.draft(Draft) is scope.draft(Draft)
    assert scope.has(Draft)
    assert scope.kinds == {Draft}
    scope.clear()
    assert not scope.has(Draft)


def test_a_block_knows_the_draft_of_the_one_around_it() -> None:
    mail = Scope(Context.MAIL)
    server = Scope(Context.SERVER, mail, "a.conf:3")
    assert server.outer(Draft) is mail.draft(Draft)
    assert not server.has(Draft)
    with pytest.raises(LookupError):
        mail.outer(Draft)

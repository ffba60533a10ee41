"""Each name of the configuration has one entry, and each entry a name."""

from __future__ import annotations

import pytest

from mailworker.config.drafts import Context
from mailworker.config.load import directives
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.reference.entries import Entry, Page, read_pages
from mailworker.reference.names import all_names, describe, rows_of

DESCRIBED = list(describe(read_pages()))


def test_every_directive_variable_and_end_has_one_entry_and_no_entry_is_of_nothing() -> None:
    described = [f"{each.entry.name} ({each.entry.context})" if each.entry.context else each.entry.name
                 for each in DESCRIBED]  # fmt: skip
    assert sorted(described) == all_names()


def test_an_entry_has_the_facts_of_its_rows() -> None:
    facts = {(each.entry.name, each.entry.context): dict(each.facts) for each in DESCRIBED}
    assert facts["proxy_timeout", ""] == {"Status": "200", "Letters": "cD"}  # the end, which comes last
    assert facts["timeout", ""] == {
        "Syntax": "timeout TIME;",
        "Default": "timeout 60s;",
        "Context": "mail, server",
        "Since": "0.1.0",
    }
    assert facts["error_log", ""]["Context"] == "main, mail, server"
    assert facts["error_log", ""]["Default"] == "error_log logs/error.log error;"
    assert facts["include", ""]["Context"] == "any block"
    assert facts["listen", ""]["Default"] == "none"
    assert facts["listen", "status"]["Default"] == "listen 127.0.0.1:9143;"
    assert facts["listen", "status"]["Context"] == "status"
    assert facts["$remote_addr", ""] == {"Since": "0.1.0"}


def test_an_entry_of_nothing_is_refused() -> None:
    entry = Entry("nonsense", "", ("nonsense;",), "", "0.1.0", "Nothing.")
    with pytest.raises(LookupError, match="nonsense"):
        list(describe([Page("core", "Title", "", (entry,))]))
    with pytest.raises(LookupError, match="nonsense"):
        rows_of(entry, (entry,), directives(PROTOCOLS))


def test_an_entry_is_about_the_rows_of_its_block() -> None:
    outside = Entry("listen", "", (), "", "0.1.0", "")
    inside = Entry("listen", "status", (), "", "0.1.0", "")
    commands = directives(PROTOCOLS)
    assert [row.contexts for row in rows_of(outside, (outside, inside), commands)] == [Context.SERVER]
    assert [row.contexts for row in rows_of(inside, (outside, inside), commands)] == [Context.STATUS]

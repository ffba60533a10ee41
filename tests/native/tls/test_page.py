from __future__ import annotations

from mailworker.native.tls._native import ffi
from mailworker.native.tls.page import PAGE, PAGE_SIZE, PAGE_VIEW


def test_what_is_read_into_the_page_is_copied_out_of_it() -> None:
    PAGE[0:3] = b"abc"
    copied = PAGE_VIEW[:3]
    PAGE[0:3] = b"xyz"
    assert (copied, PAGE_VIEW[:3]) == (b"abc", b"xyz")


def test_a_record_of_tls_fits() -> None:
    assert len(PAGE_VIEW) == ffi.sizeof(PAGE) == PAGE_SIZE >= 1 << 14

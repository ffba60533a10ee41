from __future__ import annotations

import gc
import os
from pathlib import Path
from types import ModuleType

import pytest

from mailworker.shm import publication as publications
from mailworker.shm.publication import Publication

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory here")
SIZE = 4096


def descriptors() -> list[str]:
    """The files in memory that this process has open under the name of these tests."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:  # that of the list itself
            continue
        if "test publication" in target:
            found.append(path.name)
    return found


def publication() -> Publication:
    return Publication("test publication", SIZE)


def mapping_flags() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines()
    (line,) = (line for line in lines if "test publication" in line)
    return line.split()[1]


def test_what_is_published_is_read_where_it_was_put() -> None:
    published = publication()
    assert published.failure is None
    assert bytes(published.memory) == bytes(SIZE)
    published.publish([(8, b"first"), (0, b"second"), (SIZE - 1, b"x")])
    assert bytes(published.memory) == b"second\0\0first".ljust(SIZE - 1, b"\0") + b"x"


def test_nobody_has_it_mapped_for_writing_and_only_its_user_may_open_it() -> None:
    published = publication()
    assert mapping_flags() == "r--s"
    (descriptor,) = descriptors()
    assert os.fstat(int(descriptor)).st_mode & 0o777 == 0o600
    assert not os.get_inheritable(int(descriptor))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(int(descriptor), b"x")
    assert bytes(published.memory) == bytes(SIZE)


def test_its_size_stays() -> None:
    published = publication()
    (descriptor,) = descriptors()
    with (
        Path(f"/proc/self/fd/{descriptor}").open("r+b", buffering=0) as file,
        pytest.raises(PermissionError, match="Operation not permitted"),
    ):
        file.truncate(0)
    assert bytes(published.memory) == bytes(SIZE)


def test_after_the_end_nothing_is_published_and_the_memory_stays() -> None:
    published = publication()
    published.publish([(0, b"kept")])
    published.stop()
    published.stop()
    assert descriptors() == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        published.publish([(0, b"lost")])
    assert bytes(published.memory)[:4] == b"kept"


def test_what_has_got_the_number_of_its_descriptor_is_neither_written_nor_closed(tmp_path: Path) -> None:
    published = publication()
    (descriptor,) = map(int, descriptors())
    with (tmp_path / "log").open("wb") as log:
        os.dup2(log.fileno(), descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        published.publish([(0, b"lost")])
    published.stop()
    del published
    gc.collect()
    assert os.fstat(descriptor).st_size == 0
    os.close(descriptor)


def test_one_that_nobody_has_is_freed() -> None:
    memory = publication().memory
    gc.collect()
    assert descriptors() == []
    assert mapping_flags() == "r--s"
    assert bytes(memory) == bytes(SIZE)
    del memory
    assert "test publication" not in Path("/proc/self/maps").read_text()


def refuse(*arguments: object) -> int:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize(
    ("module", "call"), [(os, "memfd_create"), (os, "open"), (os, "fchmod"), (publications, "map_read_only")]
)
def test_where_the_system_refuses_it_workers_can_write_it(
    module: ModuleType, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as refusing:
        refusing.setattr(module, call, refuse)
        published = publication()
    assert published.failure == "memory that workers can only read is refused (38: Function not implemented)"
    assert descriptors() == []
    published.publish([(0, b"seen")])
    assert bytes(published.memory) == b"seen".ljust(SIZE, b"\0")
    published.stop()


def test_an_older_system_has_no_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert publication().failure == "memory that workers can only read is refused (38: Function not implemented)"

"""The picture of the architecture: folders as rooms, imports as arrows, read from the code.

`python -m tests.support.house` draws it again into docs/house.svg.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Final

import grimp

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "house.svg"

PACKAGE: Final = "mailworker"
# The purpose of each room, in the order of the plan from left to right; other folders have no room of their own.
ROOMS: Final[Mapping[str, str]] = {
    "demo": "what `make run` starts",
    "tune": "how many workers",
    "cli": "switches",
    "control": "mailworker-ctl",
    "reference": "what each name means",
    "process": "start, master, workers",
    "process.handover": "over reload and upgrade",
    "process.cycle": "one configuration that serves",
    "process.system": "what is asked of the system",
    "status": "what is shown of it",
    "mail": "service, session, relay, record",
    "mail.protocols": "one row each",
    "mail.dialogue": "with the client",
    "mail.backend": "login at the backend",
    "mail.client": "who is there",
    "mail.server": "what its sessions share",
    "mail.authentication": "who decides",
    "event": "waiting",
    "tls": "contexts, certificates",
    "log": "error log",
    "shm": "shared memory",
    "wire": "bytes and their meaning",
    "config": "text to settings",
    "variables": "templates, map, geo",
    "native": "the only C",
    "model": "the common words",
    "errors": "who is at fault",
}

# Modules directly in a folder, beside its inner rooms -> the room that they make up together.
GROUND: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("process.bug", "process.checks", "process.invocation", "process.link", "process.listeners"), "process.cycle"
    ),
    **dict.fromkeys(("process.logs", "process.notices", "process.steps", "process.tls_contexts"), "process.cycle"),
    **dict.fromkeys(("process.certificate_folders", "process.file_reader", "process.log_counts"), "process.cycle"),
    **dict.fromkeys(
        ("process.kicking", "process.retry", "process.user_files", "process.watched_files"), "process.cycle"
    ),
    **dict.fromkeys(("mail.capabilities", "mail.counting", "mail.proxy_pass"), "mail.server"),
    **dict.fromkeys(("mail.targets", "mail.vitals"), "mail.server"),
    **dict.fromkeys(("mail.end", "mail.held", "mail.once", "mail.session_id", "mail.session_log"), "mail.client"),
}

_WIDTH, _HEIGHT, _GAP, _FLOOR, _MARGIN = 196, 52, 24, 100, 24

Imports = dict[str, set[str]]


def read_imports() -> Imports:
    """The rooms that each room imports from."""
    graph = grimp.build_graph(PACKAGE)
    imports: Imports = {}
    for module in graph.modules:
        room = _room(module)
        for imported in graph.find_modules_directly_imported_by(module):
            imports.setdefault(room, set()).add(_room(imported))
    return {room: {below for below in imports.get(room, set()) if below not in ("", room)} for room in ROOMS}


def floors(imports: Imports) -> dict[str, int]:
    """The floor of each room, 0 on the ground: above all that it imports. Raises ValueError for a cycle."""
    found: dict[str, int] = {}

    def climb(room: str, way: tuple[str, ...]) -> int:
        if room in way:
            raise ValueError(f"rooms import each other: {' -> '.join([*way[way.index(room) :], room])}")
        if room not in found:
            found[room] = max((climb(below, (*way, room)) + 1 for below in imports[room]), default=0)
        return found[room]

    for room in imports:
        climb(room, ())
    return found


def draw() -> str:
    """The picture as SVG."""
    imports = read_imports()
    floor = floors(imports)
    lines = _count_lines()
    places = _places(floor)
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    arrows = [_arrow(places[room], places[below]) for room in ROOMS for below in sorted(_direct(imports, room))]
    boxes = [_box(places[room], room, ROOMS[room], lines[room]) for room in ROOMS]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            "<title>The rooms of mailworker: whoever stands higher imports what is below</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#8a8f98"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *arrows,
            *boxes,
            "</svg>",
            "",
        ]
    )


def _room(module: str) -> str:
    """The innermost room that a module belongs to; "" for the package itself."""
    name = module.removeprefix(PACKAGE).removeprefix(".")
    while name and name not in ROOMS and name not in GROUND:
        name = name.rpartition(".")[0]
    return GROUND.get(name, name)


def _direct(imports: Imports, room: str) -> Iterable[str]:
    """The rooms that `room` imports from, except those below another of them: arrows lead there already."""
    return [below for below in imports[room] if not any(below in _all_below(imports, other) for other in imports[room])]


def _all_below(imports: Imports, room: str) -> set[str]:
    below = imports[room]
    return below.union(*(_all_below(imports, other) for other in below)) if below else set()


def _count_lines() -> dict[str, int]:
    """The lines of Python and C in each room, without its inner rooms."""
    lines = dict.fromkeys(ROOMS, 0)
    for path in sorted((ROOT / PACKAGE).rglob("*")):
        if path.suffix in (".py", ".c", ".h"):
            room = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
            if room:
                lines[room] += len(path.read_bytes().splitlines())
    return lines


def _places(floor: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The upper left corner of each room; each floor is centred."""
    top = max(floor.values())
    rows = [[room for room in ROOMS if floor[room] == level] for level in range(top + 1)]
    widest = max(len(row) for row in rows) * (_WIDTH + _GAP) - _GAP
    places = {}
    for level, row in enumerate(rows):
        left = _MARGIN + (widest - len(row) * (_WIDTH + _GAP) + _GAP) // 2
        for place, room in enumerate(row):
            places[room] = (left + place * (_WIDTH + _GAP), _MARGIN + (top - level) * _FLOOR)
    return places


def _arrow(above: tuple[int, int], below: tuple[int, int]) -> str:
    x1, y1, x2, y2 = above[0] + _WIDTH // 2, above[1] + _HEIGHT, below[0] + _WIDTH // 2, below[1]
    bend = (y2 - y1) // 2
    return (
        f'<path d="M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}" fill="none" stroke="#8a8f98" '
        'marker-end="url(#tip)"/>'
    )


def _box(place: tuple[int, int], room: str, purpose: str, lines: int) -> str:
    x, y = place
    middle = x + _WIDTH // 2
    name = room.replace(".", "/")
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef2f7" stroke="#51606f"/>'
        f'<text x="{middle}" y="{y + 22}" text-anchor="middle" font-size="14" font-weight="bold" fill="#1d2730">'
        f"{escape(name)}</text>"
        f'<text x="{middle}" y="{y + 39}" text-anchor="middle" font-size="10.5" fill="#47525d">'
        f"{escape(purpose)}, {lines}</text>"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")

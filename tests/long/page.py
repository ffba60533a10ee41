"""The status page in a real browser: `make check-page`.

A real mailworker with sessions, refused logins, errors and certificates shows its page in headless Chromium: light and
dark, 360 and 1,280 pixels wide, with scripts and without. Nothing is loaded from another origin, nothing is wider than
the window, nothing throws, numbers change without a reload, a page whose server has gone says so, and axe-core finds no
serious fault of accessibility. Screenshots go to build/page. npm fetches axe-core once, into build/axe-core.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from tests.long.browser import Browser, Tab
from tests.long.site import stop_in_order
from tests.process.shown import Shown
from tests.support.auth import END, accepted, rejected
from tests.support.backend import ScriptedServer, conversation, hang_up
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import ServerUnavailable, find_program
from tests.support.peer import Peer
from tests.support.ports import Ports

BUILD: Final = Path(__file__).resolve().parents[2] / "build"
WIDTHS: Final = (360, 768, 1201, 1280)
THEMES: Final = ("light", "dark")
# Sessions that begin while a tab looks on, so that its charts are lines.
JOINING: Final = 3
GRAVE: Final = {"serious", "critical"}
# Days that certificates are still valid: each has a color of its own.
DAYS: Final = {
    "mail.example": 80.5,
    "a-name-that-is-long-enough-to-need-two-lines.mail.example": 14.5,
    "old.example": 2.5,
}
_GREETING: Final = b"* OK IMAP4 ready\r\n"
_SESSIONS: Final = 'document.querySelector("[data-number=sessions]").dataset.value'


class Stage:
    """A mailworker, and the clients whose sessions its page shows."""

    def __init__(self, mailworker: Shown, ports: Ports) -> None:
        self.mailworker = mailworker
        self.url = f"http://127.0.0.1:{mailworker.status}/"
        self._port = ports["imap"]
        self._staying: list[Peer] = []

    def log_in(self, user: bytes, answer: bytes) -> Peer:
        """A client that has got `answer`."""
        client = Peer.connect(("127.0.0.1", self._port))
        client.until(_GREETING)
        client.send(b"a LOGIN %b secret\r\n" % user)
        assert client.until(b"\r\n").startswith(answer)
        return client

    def play(self) -> None:
        """Sessions that stay and others that end, well or not."""
        self._staying += [self.log_in(b"anna", b"a OK") for _ in range(3)]
        for user, answer in ((b"anna", b"a OK"), (b"wrong", b"a NO"), (b"broken", b"* BAD")):
            self.log_in(user, answer).close()

    def join(self) -> None:
        """One more session, which stays."""
        self._staying.append(self.log_in(b"anna", b"a OK"))

    def leave(self) -> None:
        for client in self._staying:
            client.close()


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stage that has played."""
    folder.mkdir()
    with ExitStack() as stack:
        ports = Ports()
        stack.callback(ports.close)
        backend = ScriptedServer(conversation(b"* OK ready\r\n", b"+ OK\r\n", b"+ OK\r\n", b"a OK\r\n"))
        stack.callback(backend.stop)
        broken = ScriptedServer(hang_up)
        stack.callback(broken.stop)
        answers = {
            b"anna": accepted(backend.address),
            b"wrong": rejected(b"Invalid login or password"),
            b"broken": accepted(broken.address),
        }

        def decide(peer: Peer) -> None:
            request = peer.until(END)
            peer.send(next(answer for user, answer in answers.items() if b"Auth-User: %b\r\n" % user in request))

        auth = ScriptedServer(decide)
        stack.callback(auth.stop)
        mailworker = Shown(folder, _configuration(folder, ports, auth))
        mailworker.status = ports["status"]
        mailworker.start()
        stack.callback(mailworker.stop)
        mailworker.await_workers(2)
        mailworker.await_status_process()
        stage = Stage(mailworker, ports)
        stack.callback(stage.leave)
        stage.play()
        yield stage


def _configuration(folder: Path, ports: Ports, auth: ScriptedServer) -> str:
    authority = CertificateAuthority(folder)
    secure = ""
    for number, (name, days) in enumerate(DAYS.items()):
        made = authority.issue_server(f"{number}", ecdsa_key(), (name,), validity=timedelta(days=days))
        secure += f"""
            server {{
                listen 127.0.0.1:{ports["imaps"]} ssl; protocol imap; server_name {name}; status_zone {name};
                ssl_certificate {made.certificate}; ssl_certificate_key {made.key};
            }}"""
    return f"""
        error_log logs/error.log info;
        worker_processes 2;
        status {{ listen 127.0.0.1:{ports["status"]}; }}
        events {{ }}
        mail {{
            auth_http {auth.address}/;
            access_log logs/access.log;
            ssl_session_cache shared:SSL:1m;
            server {{ listen 127.0.0.1:{ports["imap"]}; protocol imap; status_zone clients; }}
            server {{ listen 127.0.0.1:{ports["smtp"]}; protocol smtp; status_zone submission; }}
            {secure}
        }}
    """


class Check:
    """Looks at the page; `failures` is what was found, `seen` the screenshots."""

    def __init__(self, stage: Stage, browser: Browser, axe: str, folder: Path) -> None:
        self.failures: list[str] = []
        self.seen = 0
        self._stage = stage
        self._browser = browser
        self._axe = axe
        self._folder = folder
        self._lasting = {width: self._open(width, "light") for width in WIDTHS}

    def run(self) -> None:
        colors = {(width, theme): self._look(width, theme) for theme in THEMES for width in WIDTHS}
        self._expect(len(set(colors.values())) == len(THEMES), "themes", f"have the same color: {colors}")
        for width in WIDTHS:
            self._look_without_scripts(width)
        self._lose()

    def _open(self, width: int, theme: str, *, scripts: bool = True) -> Tab:
        tab = Tab(self._browser, width, theme, scripts=scripts)
        tab.open(self._stage.url)
        return tab

    def _look(self, width: int, theme: str) -> str:
        """Check the page with scripts; returns the color of its background."""
        name = f"{theme}-{width}"
        tab = self._open(width, theme)
        tab.value("window.loaded = 'once'")
        before = int(tab.value(_SESSIONS))
        for number in range(1, JOINING + 1):
            self._stage.join()
            tab.await_true(f"{_SESSIONS} == {before + number}", "a new number of sessions")
        self._expect(tab.value("window.loaded") == "once", name, "was loaded again")
        self._expect(tab.value("document.querySelectorAll('polyline').length") == 4, name, "lacks charts")
        self._judge(tab, name, width)
        self._audit(tab, name)
        return str(tab.value("getComputedStyle(document.body).backgroundColor"))

    def _audit(self, tab: Tab, name: str) -> None:
        """Run axe-core: every fault is printed, a grave one is a failure."""
        tab.value(f"{self._axe}; undefined")
        found = json.loads(tab.value("axe.run().then((found) => JSON.stringify(found))"))
        self._expect(any(rule["id"] == "color-contrast" for rule in found["passes"]), name, "has no colors to check")
        for fault in found["violations"]:
            where = ", ".join(str(node["target"]) for node in fault["nodes"][:3])
            text = f"{fault['impact']} fault {fault['id']}: {fault['help']}, at {where}"
            print(f"{name}: {text}", flush=True)
            self._expect(fault["impact"] not in GRAVE, name, text)

    def _look_without_scripts(self, width: int) -> None:
        tab = self._open(width, "light", scripts=False)
        self._judge(tab, f"without-scripts-{width}", width)
        self._expect(not any("/snapshot" in url for url in tab.requests()), f"without-scripts-{width}", "runs scripts")

    def _lose(self) -> None:
        """A page whose server has gone says so, and shows its last numbers."""
        self._stage.leave()
        self._stage.mailworker.stop()
        for width, tab in self._lasting.items():
            self._browser.call("Target.activateTarget", targetId=tab.target)
            tab.await_true("document.title == 'mailworker does not answer'", "a word about the lost server")
            visible = tab.value("document.body.innerText")
            self._expect("does not answer" in visible and "Servers" in visible, f"lost-{width}", "says nothing")
            self._audit(tab, f"lost-{width}")
            self._keep(tab, f"lost-{width}", width)

    def _judge(self, tab: Tab, name: str, width: int) -> None:
        foreign = [url for url in tab.requests() if urlsplit(url).netloc != urlsplit(self._stage.url).netloc]
        self._expect(not foreign, name, f"asks other origins: {foreign}")
        self._expect(not tab.errors(), name, f"has errors: {tab.errors()}")
        self._keep(tab, name, width)

    def _keep(self, tab: Tab, name: str, width: int) -> None:
        self._expect(tab.width() <= width, name, f"is {tab.width():.0f} pixels wide")
        (self._folder / f"{name}.png").write_bytes(tab.screenshot())
        self.seen += 1

    def _expect(self, right: bool, name: str, text: str) -> None:
        if not right:
            self.failures.append(f"{name} {text}")


def fetch_axe(folder: Path) -> str:
    """The text of axe-core, by npm if it is not in `folder`; raises ServerUnavailable without npm or a package."""
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [find_program("npm"), "pack", "--silent", "axe-core@4", "--pack-destination", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise ServerUnavailable(f"npm cannot fetch axe-core: {made.stderr.strip()}")
        with tarfile.open(folder / made.stdout.strip()) as archive:
            archive.extract("package/axe.min.js", folder)
    return script.read_text(encoding="utf-8")


def main() -> int:
    """Check the page; returns the exit code."""
    stop_in_order()
    shots = BUILD / "page"
    shutil.rmtree(shots, ignore_errors=True)
    shots.mkdir(parents=True)
    try:
        axe = fetch_axe(BUILD / "axe-core")
        find_program("chromium")
    except ServerUnavailable as error:
        print(f"Missing: {error}", file=sys.stderr)
        return 1
    with TemporaryDirectory(prefix="mailworker-page-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with staged(folder / "mailworker") as stage, Browser(folder / "profile") as browser:
            check = Check(stage, browser, axe, shots)
            check.run()
    for failure in check.failures:
        print(f"FAILED: {failure}")
    print(f"{check.seen} screenshots in {shots}, {len(check.failures)} failures")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())

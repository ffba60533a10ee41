"""Headless Chromium over its DevTools protocol, which it speaks on two pipes: no port, and no library of ours."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

from tests.support.daemon import STOP_TIMEOUT, find_program
from tests.support.patience import PATIENCE

# Where Chromium reads messages and writes them, with --remote-debugging-pipe.
_READS, _WRITES = 3, 4
# A free descriptor from here on is neither of these.
_ABOVE = 10
# A message is JSON, and this byte ends it.
_END = b"\0"

Message = dict[str, Any]


class Browser:
    """A browser with its profile in `folder`, until the end of the `with` block."""

    def __init__(self, folder: Path) -> None:
        """Raises ServerUnavailable where there is no Chromium."""
        command = [find_program("chromium"), "--headless", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        command += ["--disable-gpu", "--disable-background-networking", "--no-first-run", "--hide-scrollbars"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # its own one refuses root
        reads, self._to = _pipe()
        self._from, writes = _pipe()
        self._rest = b""
        self._number = 0
        self._events: list[Message] = []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(_READS, _WRITES),
            preexec_fn=lambda: (os.dup2(reads, _READS), os.dup2(writes, _WRITES)),  # noqa: PLW1509 - no threads yet
            start_new_session=True,
        )
        os.close(reads)
        os.close(writes)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)  # Chromium ends then
        os.close(self._from)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def call(self, method: str, session: str = "", **parameters: Any) -> Message:
        """Call a method and return its result; raises RuntimeError with Chromium's own words if it fails."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        _write(self._to, json.dumps(message).encode() + _END)
        deadline = time.monotonic() + PATIENCE
        while (answer := self._next(deadline)).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: Message = answer["result"]
        return result

    def await_event(self, session: str, method: str) -> Message:
        """The first event of this name that has not been taken yet; waits for it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for event in self._events:
                if event.get("sessionId") == session and event["method"] == method:
                    self._events.remove(event)
                    return event
            self._events.append(self._next(deadline))

    def events(self, session: str) -> list[Message]:
        """The events of a session that have not been taken yet."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _next(self, deadline: float) -> Message:
        while _END not in self._rest:
            if not select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            received = os.read(self._from, 1 << 20)
            if not received:
                raise RuntimeError(f"Chromium has ended with exit code {self._process.wait()}")
            self._rest += received
        text, _, self._rest = self._rest.partition(_END)
        message: Message = json.loads(text)
        return message


class Tab:
    """A tab of a browser, `width` pixels wide, in the theme "light" or "dark", with or without scripts."""

    def __init__(self, browser: Browser, width: int, theme: str, *, scripts: bool = True) -> None:
        self._browser = browser
        self.target: str = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 640
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def call(self, method: str, **parameters: Any) -> Message:
        """As `Browser.call`, in this tab."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go to a page and wait until all of it is loaded."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self._browser.await_event(self._session, "Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript, which may be a promise; raises AssertionError if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def await_true(self, expression: str, what: str) -> None:
        """Wait until an expression is true, which is looked at with each frame that the tab draws."""
        frame = "new Promise(requestAnimationFrame)"
        deadline = time.monotonic() + PATIENCE
        while not self.value(f"{frame}.then(() => ({expression}))"):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen within {PATIENCE} seconds")

    def width(self) -> float:
        """The width of the content, in pixels: more than the window's if something is wider."""
        return float(self.call("Page.getLayoutMetrics")["cssContentSize"]["width"])

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])

    def requests(self) -> list[str]:
        """The URLs that this tab has asked for."""
        return [event["params"]["request"]["url"] for event in self._of("Network.requestWillBeSent")]

    def errors(self) -> list[str]:
        """Exceptions, and errors and warnings of the console."""
        thrown = [str(event["params"]["exceptionDetails"]) for event in self._of("Runtime.exceptionThrown")]
        said = [
            str(event["params"]["args"])
            for event in self._of("Runtime.consoleAPICalled")
            if event["params"]["type"] in {"error", "warning", "assert"}
        ]
        logged = [
            f"{entry['text']} {entry.get('url', '')}"
            for event in self._of("Log.entryAdded")
            if (entry := event["params"]["entry"])["level"] in {"error", "warning"}
        ]
        return thrown + said + logged

    def _of(self, method: str) -> Sequence[Message]:
        return [event for event in self._browser.events(self._session) if event["method"] == method]


def _pipe() -> tuple[int, int]:
    """The ends to read from and to write to."""
    ends = os.pipe()
    reads, writes = (fcntl(end, F_DUPFD_CLOEXEC, _ABOVE) for end in ends)
    for end in ends:
        os.close(end)
    return reads, writes


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

"""The whole demo: `python -m mailworker.demo` with the real master and workers."""

from __future__ import annotations

import imaplib
import os
import poplib
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import hold

SHIPPED = Path(__file__).parents[2] / "conf"
CONFIGURATION, BY_SERVICE = SHIPPED / "mailworker.conf", SHIPPED / "mailworker.auth_http.conf"
LISTEN = re.compile(r"127\.0\.0\.1:(\d+)")
EXAMPLE = re.compile(r"^  (.*\S)$", re.MULTILINE)
WORKED = re.compile(r"^(Subject: Welcome to mailworker|a OK .*|\+OK.*|221 .*|sent)$", re.MULTILINE)


@contextmanager
def obeying_interrupts() -> Iterator[None]:
    """What is started now obeys SIGINT, which a shell lets those ignore whom it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Demo:
    """`python -m mailworker.demo` with a shipped configuration, on free ports."""

    def __init__(self, folder: Path, shipped: Path = CONFIGURATION) -> None:
        text = re.sub(r"(?m)^ *#.*\n", "", shipped.read_text())
        self.ports = Ports()
        self.prefix = folder / "prefix"
        self.configuration = folder / "demo.conf"
        self.configuration.write_text(LISTEN.sub(lambda match: f"127.0.0.1:{self.ports[match[1]]}", text))
        self.output = ""
        self._errors = folder / "stderr"

    def start(self) -> None:
        command = [sys.executable, "-m", "mailworker.demo", "-c", str(self.configuration), "-p", str(self.prefix)]
        with self._errors.open("wb") as errors, obeying_interrupts():
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )

    def wait_until_serving(self) -> None:
        """Reads what it prints up to the empty line behind the examples."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if line == "\n" and EXAMPLE.search(self.output):
                return
        pytest.fail(f"the demo ended: {self.errors}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """Ends what still runs."""
        self.stop(signal.SIGKILL)
        self.ports.close()

    def wait(self) -> int:
        with self.process:
            return self.process.wait(PATIENCE)

    @property
    def master(self) -> psutil.Process:
        return psutil.Process(int((self.prefix / "logs" / "mailworker.pid").read_text()))

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def examples(self) -> list[str]:
        return EXAMPLE.findall(self.output)


def pending_signals(process: psutil.Process) -> set[int]:
    (mask,) = re.findall(r"(?m)^ShdPnd:\s*(\w+)$", Path(f"/proc/{process.pid}/status").read_text())
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make run` starts."""
    with serving(Demo(tmp_path_factory.mktemp("demo"))) as demo:
        yield demo


@pytest.fixture(scope="module")
def demo_with_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make run-auth-http` starts."""
    with serving(Demo(tmp_path_factory.mktemp("service"), BY_SERVICE)) as demo:
        yield demo


@contextmanager
def serving(demo: Demo) -> Iterator[Demo]:
    demo.start()
    try:
        demo.wait_until_serving()
        yield demo
    finally:
        demo.stop()
        demo.close()
    assert "[alert]" not in demo.errors


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    demo.close()


@pytest.mark.parametrize("name", ["demo", "demo_with_service"])
def test_mail_sent_by_smtp_is_read_by_imap_and_pop3(request: pytest.FixtureRequest, name: str) -> None:
    demo: Demo = request.getfixturevalue(name)
    trusting = ssl.create_default_context(cafile=demo.prefix / "conf" / "mailworker.crt")
    with smtplib.SMTP("127.0.0.1", demo.ports["10587"], "client.example.com", timeout=PATIENCE) as smtp:
        smtp.starttls(context=trusting)
        smtp.login("demo", "demo")
        smtp.sendmail("a@example.com", ["demo@example.com"], b"Subject: round trip\r\n\r\nText\r\n")
    with imaplib.IMAP4_SSL("127.0.0.1", demo.ports["10993"], ssl_context=trusting, timeout=PATIENCE) as imap:
        imap.login("demo", "demo")
        imap.select("INBOX")
        newest = imap.search(None, "ALL")[1][0].split()[-1].decode()
        answer = imap.fetch(newest, "(BODY.PEEK[])")[1][0]
    assert isinstance(answer, tuple)
    content: bytes = answer[1]
    assert content.startswith(b"Received: from client.example.com ([127.0.0.1]) (login demo)")
    pop3 = poplib.POP3_SSL("127.0.0.1", demo.ports["10995"], context=trusting, timeout=PATIENCE)
    pop3.user("demo")
    pop3.pass_("demo")
    assert pop3.retr(int(newest))[1] == content.splitlines()
    pop3.quit()


def test_what_is_offered_before_the_login_is_there_after_it(demo: Demo) -> None:
    with imaplib.IMAP4("127.0.0.1", demo.ports["10143"], timeout=PATIENCE) as imap:
        before = set(imap.capabilities)
        imap.login("demo", "demo")
        after = set(imap.capability()[1][0].decode().split())
    offered = {word for word in before if word != "STARTTLS" and not word.startswith("AUTH=")}
    assert offered == {"IMAP4REV1", "IDLE", "NAMESPACE"}
    assert offered <= {word.upper() for word in after}
    with smtplib.SMTP("127.0.0.1", demo.ports["10587"], "client.example.com", timeout=PATIENCE) as smtp:
        smtp.ehlo()
        assert {"size", "8bitmime", "pipelining"} <= set(smtp.esmtp_features)
        smtp.login("demo", "demo")
        letter = b"Subject: eight bits\r\n\r\n" + "\u00e9".encode() + b"\r\n"
        smtp.sendmail("a@example.com", ["demo@example.com"], letter, ["body=8bitmime"])


def test_digest_logins_work_with_a_service(demo_with_service: Demo) -> None:
    ports = demo_with_service.ports
    with imaplib.IMAP4("127.0.0.1", ports["10143"], timeout=PATIENCE) as imap:
        assert imap.login_cram_md5("demo", "demo")[0] == "OK"
    pop3 = poplib.POP3("127.0.0.1", ports["10110"], timeout=PATIENCE)
    assert pop3.apop("demo", "demo").startswith(b"+OK")
    pop3.quit()


@pytest.mark.parametrize(
    ("name", "words"), [("demo", "Authentication failed"), ("demo_with_service", "Invalid login or password")]
)
def test_wrong_password_is_refused(request: pytest.FixtureRequest, name: str, words: str) -> None:
    demo: Demo = request.getfixturevalue(name)
    with (
        imaplib.IMAP4("127.0.0.1", demo.ports["10143"], timeout=PATIENCE) as imap,
        pytest.raises(imaplib.IMAP4.error, match=words),
    ):
        imap.login("demo", "wrong")


def test_a_wrong_password_sends_no_mail_and_the_log_tells_why(demo: Demo) -> None:
    with smtplib.SMTP("127.0.0.1", demo.ports["10587"], timeout=PATIENCE) as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("demo", "wrong")
        assert smtp.docmd("MAIL", "FROM:<a@example.com>")[0] == 530
    assert 'client login failed: "535 5.7.8 Authentication credentials invalid"' in demo.errors


def test_every_printed_line_works_as_it_stands(demo: Demo) -> None:
    assert len(demo.examples) == 9
    farewells = {"imap": "a LOGOUT\n", "pop3": "QUIT\n", "smtp": "QUIT\n"}
    for line in demo.examples:
        starttls = re.search(r"-starttls (\w+)", line)
        said = subprocess.run(
            line,
            shell=True,
            input=farewells[starttls[1]] if starttls else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert said.returncode == 0, f"{line}: {said.stderr}"
        assert WORKED.search(said.stdout), f"{line}: {said.stdout}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(stopped: Demo, number: int) -> None:
    stopped.start()
    stopped.wait_until_serving()
    with socket.create_connection(("127.0.0.1", stopped.ports["10143"]), timeout=PATIENCE) as client:
        assert client.recv(1) == b"*"  # a worker runs
    children = psutil.Process(stopped.process.pid).children(recursive=True)
    assert len(children) >= 2
    assert stopped.stop(number) == 0
    assert not any(child.is_running() for child in children)
    assert "[alert]" not in stopped.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_while_it_ends_changes_nothing(stopped: Demo, number: int) -> None:
    stopped.start()
    stopped.wait_until_serving()
    master = stopped.master
    hold(master)  # so the end takes until it goes on
    stopped.process.send_signal(number)
    wait_until(lambda: signal.SIGTERM in pending_signals(master), "that the master is told to end")
    stopped.process.send_signal(number)
    wait_until(lambda: number not in pending_signals(psutil.Process(stopped.process.pid)), "the second signal")
    master.resume()
    assert stopped.wait() == 0
    assert "Traceback" not in stopped.errors


def test_an_interrupt_of_the_whole_group_is_no_failure_of_the_master(stopped: Demo) -> None:
    """As Ctrl-C does it; the master is gone before the demo, which has no processor, sees its own signal."""
    stopped.start()
    stopped.wait_until_serving()
    master = stopped.master
    hold(psutil.Process(stopped.process.pid))
    os.killpg(stopped.process.pid, signal.SIGINT)
    wait_until(lambda: master.status() == psutil.STATUS_ZOMBIE, "the end of the master")
    stopped.process.send_signal(signal.SIGCONT)
    assert stopped.wait() == 0
    assert "Traceback" not in stopped.errors
    assert "demo: " not in stopped.errors


def test_the_end_of_the_master_ends_the_demo(stopped: Demo) -> None:
    stopped.start()
    stopped.wait_until_serving()
    stopped.master.terminate()
    assert stopped.wait() == 1
    assert "demo: mailworker ended with status 0" in stopped.errors


@pytest.mark.parametrize("name", ["11143", "10143"])
def test_a_taken_port_is_named_with_what_to_do(stopped: Demo, name: str) -> None:
    with socket.create_server(("127.0.0.1", stopped.ports[name])):
        stopped.start()
        assert stopped.wait() == 1
    assert stopped.errors == (
        f"demo: 127.0.0.1:{stopped.ports[name]} is taken, perhaps by another `make run`: "
        f"stop that one, or change the ports in {stopped.configuration}\n"
    )


def test_a_second_demo_beside_the_first_says_that_there_is_one(stopped: Demo, demo: Demo) -> None:
    stopped.configuration.write_text(demo.configuration.read_text())
    stopped.start()
    assert stopped.wait() == 1
    assert "are taken, perhaps by another `make run`" in stopped.errors
    assert sorted(map(int, LISTEN.findall(stopped.errors))) == sorted(demo.ports.values())


def test_an_address_of_another_machine_is_refused_for_what_it_is(stopped: Demo) -> None:
    text = stopped.configuration.read_text()
    for directive, what in (("proxy_pass", "mailbox"), ("auth_http", "auth service")):
        changed = text.replace("auth_upstream on;", "auth_http 127.0.0.1:1;") if directive == "auth_http" else text
        stopped.configuration.write_text(changed.replace(f"{directive} 127.0.0.1:", f"{directive} 192.0.2.1:"))
        stopped.start()
        assert stopped.wait() == 1
        assert stopped.errors.startswith(f"demo: the {what} cannot listen on 192.0.2.1:")
        assert stopped.errors.count("\n") == 1


def test_a_bad_configuration_is_one_line(stopped: Demo) -> None:
    stopped.configuration.write_text("events {\n}\nmial {\n}\n")
    stopped.start()
    assert stopped.wait() == 1
    assert stopped.errors.startswith('demo: unknown directive "mial" in ')
    assert stopped.errors.endswith('conf/mailworker.conf:3, did you mean "mail"?\n')

from __future__ import annotations

import hashlib
import hmac
import statistics
from typing import Any

import pytest

from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.resolver import ResolverSettings
from mailworker.event.connections import Connections
from mailworker.mail.authentication import cost
from mailworker.mail.authentication.user_file import UserFile, Users
from mailworker.mail.authentication.user_table import UserTable, build
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, AuthMethod, BackendName, InetAddress
from mailworker.wire.auth_request import AuthRequest
from mailworker.wire.auth_response import Accepted, Rejected
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret
from tests.mail.authentication.test_user_table import finish
from tests.support.cpu_time import CpuTime
from tests.support.recorded_log import RecordedLog
from tests.support.settings import mail_server, proxy_pass, proxy_settings, proxy_ssl_settings

SUFFIX = ", client: 192.0.2.1, server: 127.0.0.1:143"
BACKEND = InetAddress("192.0.2.9", 1143)
RESOLVER = ResolverSettings((InetAddress("192.0.2.53", 53),))
SALT = b"<1.2@mail.example.com>"
WRONG = Rejected(b"[AUTHENTICATIONFAILED] Authentication failed", code=b"535 5.7.8", final=False)


class Stage:
    """A file of users, and whom it lets in."""

    def __init__(
        self,
        text: bytes,
        backend: Address | None = BACKEND,
        *,
        protocol: str = "imap",
        resolver: ResolverSettings | None = None,
        ssl: ProxySslSettings | None = None,
    ) -> None:
        self.log = RecordedLog("127.0.0.1:143")
        self.users = Users("/users", table_of(text))
        proxy = proxy_settings(backend=None if backend is None else proxy_pass(backend), ssl=ssl)
        settings = mail_server(protocol, proxy=proxy, resolver=resolver or ResolverSettings())
        self._protocol = protocol
        row = PROTOCOLS[protocol]
        self._file = UserFile(self.users, settings, row.refusals, row.ports)

    def ask(
        self,
        name: bytes = b"anna",
        password: bytes | None = b"secret",
        *,
        method: AuthMethod = AuthMethod.PLAIN,
        client_ip: bytes = b"192.0.2.1",
        salt: bytes | None = None,
    ) -> Accepted | Rejected:
        secret = None if password is None else Secret(password)
        request = AuthRequest(Login(method, name, secret, salt), self._protocol, 1, client_ip)
        log = SessionLog(self.log, 1, "192.0.2.1")
        applicant = Judged(log)
        assert self._file.judge(request, applicant) is None
        return applicant.verdict

    def lets_in(self, name: bytes = b"anna", password: bytes | None = b"secret", **options: Any) -> bool:
        return isinstance(self.ask(name, password, **options), Accepted)


def table_of(text: bytes) -> UserTable:
    return UserTable(finish(build(text, lambda level, line, reason: None)))


class Judged:
    """An applicant that keeps its verdict."""

    verdict: Accepted | Rejected
    connections: Connections

    def __init__(self, log: SessionLog) -> None:
        self.log = log

    def judged(self, verdict: Accepted | Rejected) -> None:
        self.verdict = verdict

    async def fail(self, error: Exception) -> None:
        raise error

    async def pause(self, seconds: float) -> None:
        raise AssertionError("nobody has to wait")


def test_who_knows_the_password_goes_to_the_configured_backend() -> None:
    stage = Stage(b"anna:{PLAIN}secret\n")
    assert stage.ask() == Accepted(None, b"anna")
    assert stage.ask(method=AuthMethod.LOGIN) == Accepted(None, b"anna")


@pytest.mark.parametrize(
    ("name", "password"), [(b"anna", b"Secret"), (b"anna", b""), (b"anna", None), (b"berta", b"secret"), (b"", b"")]
)
def test_all_others_hear_the_same(name: bytes, password: bytes | None) -> None:
    assert Stage(b"anna:{PLAIN}secret\n").ask(name, password) == WRONG


@pytest.mark.parametrize(
    ("protocol", "refusal"),
    [
        ("imap", WRONG),
        ("pop3", Rejected(b"[AUTH] Authentication failed", code=b"535 5.7.8", final=False)),
        ("smtp", Rejected(b"Authentication credentials invalid", code=b"535 5.7.8", final=False)),
    ],
)
def test_each_protocol_has_its_own_words(protocol: str, refusal: Rejected) -> None:
    assert Stage(b"", protocol=protocol).ask() == refusal


@pytest.mark.parametrize(
    "line",
    [
        *(b"anna", b"anna:", b"anna:{PLAIN}", b"anna:{CRYPT}", b"anna:::::::nologin=no"),
        *(b"anna:{PLAIN.B64}=", b"anna:{CLEAR.BASE64}!", b"anna:{PLAIN.HEX}"),
    ],
)
@pytest.mark.parametrize("password", [b"", b"\0", b"secret", None])
def test_a_line_without_a_password_never_lets_anybody_in(line: bytes, password: bytes | None) -> None:
    stage = Stage(line)
    for method in AuthMethod:
        assert not stage.lets_in(password=password, method=method, salt=SALT)
        digest = hmac.new(b"", SALT, "md5") if method is AuthMethod.CRAM_MD5 else hashlib.md5(SALT)
        assert not stage.lets_in(password=digest.hexdigest().encode(), method=method, salt=SALT)


def test_only_the_word_nopassword_lets_anybody_in() -> None:
    stage = Stage(b"anna:::::::nopassword\n")
    assert stage.lets_in(password=b"anything")
    for method in set(AuthMethod) - {AuthMethod.PLAIN, AuthMethod.LOGIN}:
        assert not stage.lets_in(password=b"anything", method=method, salt=SALT)


def test_challenges_are_not_checked_where_any_password_will_do_and_the_backend_has_its_own() -> None:
    stage = Stage(b"anna:::::::nopassword pass=master\n")
    answered = {AuthMethod.CRAM_MD5, AuthMethod.APOP}
    for method in answered | {AuthMethod.PLAIN, AuthMethod.LOGIN}:
        assert stage.ask(password=b"anything", method=method) == Accepted(None, b"anna", Secret(b"master"))
    for method in set(AuthMethod) - answered - {AuthMethod.PLAIN, AuthMethod.LOGIN}:
        assert stage.ask(password=b"anything", method=method) == WRONG


@pytest.mark.parametrize(
    ("extra", "accepted"),
    [
        (b"host=192.0.2.7", Accepted(InetAddress("192.0.2.7", 143), b"anna")),
        (b"host=192.0.2.7 port=99", Accepted(InetAddress("192.0.2.7", 99), b"anna")),
        (b"host=2001:db8::7 port=99", Accepted(InetAddress("2001:db8::7", 99), b"anna")),
        (b"host=mail.example.com", Accepted(BackendName("mail.example.com", 143), b"anna")),
        (b"user=other", Accepted(None, b"other")),
        (b"pass=master", Accepted(None, b"anna", Secret(b"master"))),
        (b"nologin proxy", Accepted(None, b"anna")),
        (b"master=m pass=of", Accepted(None, b"anna", Secret(b"of"), mechanism=AuthMethod.PLAIN, master=b"m")),
        (b"master=m user=b", Accepted(None, b"b", mechanism=AuthMethod.PLAIN, master=b"m")),
    ],
)
def test_extra_fields_say_where_to_and_as_whom(extra: bytes, accepted: Accepted) -> None:
    assert Stage(b"anna:{PLAIN}secret::::::%b\n" % extra, resolver=RESOLVER).ask() == accepted


@pytest.mark.parametrize(("protocol", "ports"), [("imap", (143, 993)), ("pop3", (110, 995)), ("smtp", (25, 465))])
def test_a_host_alone_has_the_port_of_the_protocol(protocol: str, ports: tuple[int, int]) -> None:
    clear, over_tls = ports
    for ssl, port in ((None, clear), (proxy_ssl_settings(starttls=True), clear), (proxy_ssl_settings(), over_tls)):
        stage = Stage(b"anna:{PLAIN}secret::::::host=192.0.2.7\n", None, protocol=protocol, ssl=ssl)
        assert stage.ask() == Accepted(InetAddress("192.0.2.7", port), b"anna")


@pytest.mark.parametrize(
    ("extra", "needed"),
    [
        (b"ssl=any-cert", {"on", "on verify"}),
        (b"ssl=yes", {"on verify"}),
        (b"ssl", {"on verify"}),
        (b"starttls=any-cert", {"starttls", "starttls verify"}),
        (b"ssl=any-cert starttls=yes", {"starttls verify"}),
    ],
)
def test_a_line_that_demands_tls_gets_no_less(extra: bytes, needed: set[str]) -> None:
    line = b"anna:{PLAIN}secret::::::%b\n" % extra
    ways = {
        "off": None,
        "on": proxy_ssl_settings(),
        "on verify": proxy_ssl_settings(verify=True),
        "starttls": proxy_ssl_settings(starttls=True),
        "starttls verify": proxy_ssl_settings(starttls=True, verify=True),
    }
    assert {way for way, ssl in ways.items() if Stage(line, ssl=ssl).lets_in()} == needed


def test_the_name_at_the_backend_is_the_one_of_the_file() -> None:
    assert Stage(b"anna@example.com:{PLAIN}secret\n").ask(b"Anna@Example.com") == Accepted(None, b"anna@example.com")


@pytest.mark.parametrize(("why", "told"), [(b"", b"Login is not allowed"), (b" reason=moved", b"moved")])
def test_nologin_is_told_to_who_knows_the_password_alone(why: bytes, told: bytes) -> None:
    stage = Stage(b"anna:{PLAIN}secret::::::nologin%b\n" % why)
    assert stage.ask() == Rejected(b"[AUTHORIZATIONFAILED] " + told, code=b"535 5.7.1", final=False)
    assert stage.ask(password=b"wrong") == WRONG


@pytest.mark.parametrize(
    ("client_ip", "let_in"),
    [
        (b"192.0.2.1", True),
        (b"192.0.3.1", False),
        (b"::ffff:192.0.2.1", True),
        (b"2001:db8::1", True),
        (b"2001:db9::1", False),
        (b"unix:", False),
    ],
)
def test_other_networks_than_those_allowed_are_told_of_a_wrong_password(client_ip: bytes, let_in: bool) -> None:
    stage = Stage(b"anna:{PLAIN}secret::::::allow_nets=192.0.2.0/24,2001:db8::/32\n")
    assert stage.lets_in(client_ip=client_ip) == let_in
    if not let_in:
        assert stage.ask(client_ip=client_ip) == WRONG


def test_local_clients_are_those_of_a_unix_socket() -> None:
    stage = Stage(b"anna:{PLAIN}secret::::::allow_nets=local\n")
    assert stage.lets_in(client_ip=b"unix:")
    assert not stage.lets_in(client_ip=b"127.0.0.1")


def test_challenges_are_answered_by_plain_passwords_alone() -> None:
    stage = Stage(b"anna:{PLAIN}secret\nberta:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    cram = hmac.new(b"secret", SALT, "md5").hexdigest().encode()
    apop = hashlib.md5(SALT + b"secret").hexdigest().encode()
    for method, answer in ((AuthMethod.CRAM_MD5, cram), (AuthMethod.APOP, apop)):
        assert stage.ask(password=answer, method=method, salt=SALT) == Accepted(None, b"anna", Secret(b"secret"))
        assert stage.lets_in(password=answer.upper(), method=method, salt=SALT)
        assert stage.ask(password=answer[:-1] + b"x", method=method, salt=SALT) == WRONG
        assert stage.ask(password=answer, method=method, salt=b"<other>") == WRONG
        assert stage.ask(b"berta", answer, method=method, salt=SALT) == WRONG
    assert stage.ask(password=hashlib.md5(b"secret").hexdigest().encode(), method=AuthMethod.APOP) == WRONG


@pytest.mark.parametrize("method", [AuthMethod.EXTERNAL, AuthMethod.NONE, AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER])
def test_a_file_knows_nothing_of_tokens_and_certificates(method: AuthMethod) -> None:
    assert Stage(b"anna:{PLAIN}secret\n").ask(method=method) == WRONG


@pytest.mark.parametrize(
    ("line", "backend", "reason"),
    [
        (b"anna:$2y$12$" + b"a" * 53, BACKEND, "its password takes too long to check"),
        (b"anna:{PLAIN}secret", None, 'no "host" is given, and no "proxy_pass"'),
        (b"anna:{PLAIN}secret::::::ssl=yes", BACKEND, '"proxy_ssl on" is needed'),
        (b"anna:{PLAIN}secret::::::starttls=any-cert", BACKEND, '"proxy_ssl starttls" is needed'),
        (b"anna:{PLAIN}secret::::::host=m.example", BACKEND, '"resolver" is needed to look up host "m.example"'),
    ],
)
def test_what_is_no_fault_of_the_client_is_a_temporary_failure_and_logged_once(
    line: bytes, backend: Address | None, reason: str
) -> None:
    stage = Stage(b"\n" + line, backend)
    for _ in range(3):
        assert stage.ask() == Rejected(
            b"[UNAVAILABLE] Temporary authentication failure", code=b"454 4.7.0", final=False
        )
    assert stage.log.lines == [f'[error] *1 user "anna" cannot log in: {reason} in /users:2{SUFFIX}']


def test_users_that_change_are_known_from_the_next_login_on() -> None:
    stage = Stage(b"anna:{PLAIN}secret\n")
    stage.users.table = table_of(b"berta:{PLAIN}secret\n")
    assert not stage.lets_in()
    assert stage.lets_in(b"berta")


def test_an_unknown_name_takes_the_time_of_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MOST", 0.05)  # a busy machine may need 2 ms for SHA512-CRYPT
    stage = Stage(b"anna:$6$saltsalt$" + b"a" * 86 + b"\nberta:{PLAIN}x\n")

    def duration(name: bytes) -> float:
        with CpuTime() as took:
            stage.ask(name)
        return took.seconds

    ratios = [duration(b"nobody") / duration(b"anna") for _ in range(21)]
    assert 0.8 < statistics.median(ratios) < 1.25
    assert duration(b"berta") < duration(b"nobody") / 10

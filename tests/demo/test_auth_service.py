import hashlib
import hmac
from http.client import HTTPConnection, HTTPMessage

import pytest
from twisted.web.server import Site

from mailworker.demo.auth_service import AuthService
from tests.demo.conftest import Serve
from tests.support.patience import PATIENCE

SALT = b"<1.2@localhost>"
BACKENDS = {b"imap": ("127.0.0.1", 1143), b"pop3": ("127.0.0.1", 1110), b"smtp": ("127.0.0.1", 1025)}

CREDENTIALS = {
    "plain": "demo",
    "apop": hashlib.md5(SALT + b"demo").hexdigest(),
    "cram-md5": hmac.new(b"demo", SALT, "md5").hexdigest(),
}


@pytest.fixture
def port(serve: Serve) -> int:
    return serve(Site(AuthService(BACKENDS)))


def ask(port: int, **headers: str) -> HTTPMessage:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    request = {
        "Auth-Method": "plain",
        "Auth-User": "demo",
        "Auth-Pass": "demo",
        "Auth-Protocol": "imap",
        "Auth-Login-Attempt": "1",
        "Client-IP": "192.0.2.1",
    }
    request.update({name.replace("_", "-"): value for name, value in headers.items()})
    connection.request("GET", "/auth", headers=request)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.msg


@pytest.mark.parametrize(("protocol", "backend"), [("imap", "1143"), ("pop3", "1110"), ("smtp", "1025")])
def test_each_protocol_has_its_backend(port: int, protocol: str, backend: str) -> None:
    answer = ask(port, Auth_Protocol=protocol)
    assert (answer["Auth-Status"], answer["Auth-Server"], answer["Auth-Port"]) == ("OK", "127.0.0.1", backend)


@pytest.mark.parametrize("method", CREDENTIALS)
def test_every_method_is_verified_and_gives_the_password(port: int, method: str) -> None:
    answer = ask(port, Auth_Method=method, Auth_Salt=SALT.decode(), Auth_Pass=CREDENTIALS[method])
    assert (answer["Auth-Status"], answer["Auth-Pass"]) == ("OK", "demo")


@pytest.mark.parametrize(
    "wrong",
    [
        {"Auth_Pass": "wrong"},
        {"Auth_Pass": ""},
        {"Auth_User": "other"},
        {"Auth_User": "demo%00"},
        {"Auth_Method": "external"},
        {"Auth_Method": "cram-md5", "Auth_Salt": "<other>", "Auth_Pass": CREDENTIALS["cram-md5"]},
    ],
)
def test_wrong_credentials_are_refused(port: int, wrong: dict[str, str]) -> None:
    answer = ask(port, **wrong)
    assert answer["Auth-Status"] == "Invalid login or password"
    assert answer["Auth-Server"] is None
    assert answer["Auth-Pass"] is None


def test_escaped_credentials_are_decoded(port: int) -> None:
    assert ask(port, Auth_User="%64emo", Auth_Pass="dem%6F")["Auth-Status"] == "OK"


@pytest.mark.parametrize(("attempt", "wait"), [("1", "1"), ("2", "2"), ("3", "3"), ("4", None), ("x", None)])
def test_each_failure_waits_longer_and_the_fourth_ends_it(port: int, attempt: str, wait: str | None) -> None:
    assert ask(port, Auth_Pass="wrong", Auth_Login_Attempt=attempt)["Auth-Wait"] == wait


def test_unknown_protocol_is_refused(port: int) -> None:
    assert ask(port, Auth_Protocol="gopher")["Auth-Status"] == "Unknown protocol"


def test_the_answer_fits_what_the_proxy_reads(port: int) -> None:
    assert len(ask(port).as_bytes()) < 1024

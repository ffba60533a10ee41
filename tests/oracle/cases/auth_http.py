"""What the auth service may answer, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import PLAIN, Act, Case, Send, accept, case, headers, line, reject

LOGIN = {
    "imap": (Send(line("a LOGIN user pass")),),
    "pop3": (Send(line("USER user")), Send(line("PASS pass"))),
    "smtp": (Send(line(f"AUTH PLAIN {PLAIN}")),),
}


OK, SERVER, PORT = "Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $port"

ANSWERS = {
    "another user": accept("Auth-User: other@example.test"),
    "another password": accept("Auth-Pass: other % pass"),
    "another user and password": accept("Auth-User: other", "Auth-Pass: secret"),
    "headers in any case": headers("AUTH-STATUS: OK", "auth-server: $server", "Auth-PORT: $port"),
    "headers in another order": headers(PORT, OK, SERVER),
    "headers without spaces": headers("Auth-Status:OK", "Auth-Server:$server", "Auth-Port:$port"),
    "headers with many spaces": headers("Auth-Status:   OK  ", "Auth-Server:  $server ", "Auth-Port: $port  "),
    "headers ended by LF": accept().replace(b"\r\n", b"\n"),
    "headers nobody knows": accept("X-Other: thing", "Content-Length: 4", "Empty:", "No-Colon") + b"body",
    "a header twice": headers(OK, "Auth-Server: 127.0.0.9", SERVER, "Auth-Port: 1", PORT),
    "HTTP/1.1": headers(OK, SERVER, PORT, status="HTTP/1.1 200 Fine indeed"),
    "204": headers(OK, SERVER, PORT, status="HTTP/1.1 204 No Content"),
    "a refusal": reject("Invalid login or password"),
    "a refusal with colons": reject("Sorry: no"),
    "a refusal and another user": reject("No", "Auth-User: other"),
    "a refusal in small letters": reject("ok"),
    "a refusal that says OK too": headers("Auth-Status: No", OK, SERVER, PORT),
    "a refusal behind OK": headers(OK, SERVER, PORT, "Auth-Status: No"),
    "a refusal with a code": reject("Mailbox busy", "Auth-Error-Code: 454 4.7.0"),
    "a refusal with 401": headers("Auth-Status: Wrong password", status="HTTP/1.1 401 Unauthorized"),
    "a refusal with 403": headers("Auth-Status: Blocked", "Auth-User: other", status="HTTP/1.0 403 Forbidden"),
    "a refusal with 500 and a code": headers(
        "Auth-Status: Later", "Auth-Error-Code: 454 4.7.0", status="HTTP/1.0 500 Oops"
    ),
    "a refusal with 401 that says OK too": headers(OK, SERVER, PORT, "Auth-Status: No", status="HTTP/1.0 401 No"),
    "a refusal with Auth-Wait 0": reject("No", "Auth-Wait: 0"),
    "a refusal with Auth-Wait that is no number": reject("No", "Auth-Wait: soon"),
    "a refusal with a negative Auth-Wait": reject("No", "Auth-Wait: -5"),
    "no server": headers(OK, PORT),
    "no port": headers(OK, SERVER),
    "no server and no port": headers(OK),
    "a server that is a name": headers(OK, "Auth-Server: localhost", PORT),
    "a server in brackets": headers(OK, "Auth-Server: [::1]", PORT),
    "an empty server": headers(OK, "Auth-Server:", PORT),
    "a server cut short": headers(OK, "Auth-Server: 127.0.0", PORT),
    "a server with a number too high": headers(OK, "Auth-Server: 127.0.0.256", PORT),
    "a server of five numbers": headers(OK, "Auth-Server: 127.0.0.0.1", PORT),
    "a server with a zone": headers(OK, "Auth-Server: fe80::1%lo", PORT),
    "a server of IPv6 with IPv4 in it": headers(OK, "Auth-Server: ::ffff:127.0.0.1", "Auth-Port: $closed"),
    "port 0": headers(OK, SERVER, "Auth-Port: 0"),
    "port 65536": headers(OK, SERVER, "Auth-Port: 65536"),
    "a port past counting": headers(OK, SERVER, "Auth-Port: 99999999999999999999"),
    "a port that is no number": headers(OK, SERVER, "Auth-Port: imap"),
    "a header with an underscore": headers("Auth_Status: OK", SERVER, PORT),
    "a header with a space": headers("Auth Status: OK", SERVER, PORT),
    "a header that starts with a dash": headers("-Auth: OK"),
    "a continued header": headers("Auth-Status: OK", " more", SERVER, PORT),
    "another user and a bad address": headers(OK, "Auth-User: other", "Auth-Server: localhost", PORT),
    "another user and no address": headers(OK, "Auth-User: other"),
    "no user at all and no address": headers(OK, "Auth-User:"),
    "another user and a bad header": headers(OK, "Auth-User: other", "a b: c"),
    "another user behind a bad header": headers(OK, "a b: c", "Auth-User: other"),
    "CR in the status line": b"HTTP/1.0 200 O\rK\r\n\r\n",
}


def _verdicts(protocol: str) -> Iterator[Case]:
    for name, answer in ANSWERS.items():
        yield case(f"the service answers with {name}", protocol, *LOGIN[protocol], auth=answer)


BEHIND = {"imap": b"b NOOP\r\n", "pop3": b"CAPA\r\n", "smtp": b"EHLO client.test\r\n"}


def _failures(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    yield case("the service does not answer", f"{protocol}-hasty", *login, auth=Act.KEEP_SILENT)
    yield case(
        "nobody listens at the backend",
        protocol,
        *login,
        auth=headers("Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $closed"),
    )
    yield case("there is no such service", f"{protocol}-unixauth", *login)
    yield case("nobody listens at the service's IPv6 address", f"{protocol}-v6auth", *login)
    for server in ("0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"):
        answer = headers("Auth-Status: OK", f"Auth-Server: {server}", "Auth-Port: $closed")
        yield case(f"the backend is at {server}", protocol, *login, auth=answer)
    yield case("a login fails and succeeds", protocol, *login, *login, auth=(reject("No", "Auth-Wait: 1"), accept()))
    yield case(
        "what is pipelined behind a failed login",
        protocol,
        *login[:-1],
        Send(login[-1].data + BEHIND[protocol], 2),
        auth=reject("No", "Auth-Wait: 1"),
    )
    yield case("a login fails twice", protocol, *login, *login, auth=(reject("No", "Auth-Wait: 1"), reject("Never")))
    yield case("the service waits and accepts", protocol, *login, auth=(reject("WAIT", "Auth-Wait: 1"), accept()))
    unauthorized = headers("Auth-Status: No", "Auth-Wait: 1", status="HTTP/1.1 401 Unauthorized")
    yield case("a login fails with 401 and succeeds", protocol, *login, *login, auth=(unauthorized, accept()))
    yield case("the service waits and refuses", protocol, *login, auth=(reject("WAIT", "Auth-Wait: 1"), reject("No")))


def _requests(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    yield case("the request has the configured headers", f"{protocol}-header", *login)
    yield case("the request has the configured query", f"{protocol}-query", *login)
    yield case("the request has a URI where none is configured", f"{protocol}-root", *login)
    yield case("the request has the name that is configured", f"{protocol}-named", *login)
    yield case("the request tells of TLS", f"{protocol}-tls", *login)


CASES: tuple[Case, ...] = tuple(
    case for protocol in LOGIN for make in (_verdicts, _failures, _requests) for case in make(protocol)
)

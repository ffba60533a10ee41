"""What the auth service may answer, and what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

from tests.oracle.case import Act, Case, Send, accept, base64, case, headers, line, reject

LOGIN = {
    "imap": (Send(line("a LOGIN user pass")),),
    "pop3": (Send(line("USER user")), Send(line("PASS pass"))),
    "smtp": (Send(line(f"AUTH PLAIN {base64(chr(0) + 'user' + chr(0) + 'pass')}")),),
}


def _verdicts(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    ok, server, port = "Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $port"
    answers = {
        "another user": accept("Auth-User: other@example.test"),
        "another password": accept("Auth-Pass: other % pass"),
        "another user and password": accept("Auth-User: other", "Auth-Pass: secret"),
        "headers in any case": headers("AUTH-STATUS: OK", "auth-server: $server", "Auth-PORT: $port"),
        "headers in another order": headers(port, ok, server),
        "headers without spaces": headers("Auth-Status:OK", "Auth-Server:$server", "Auth-Port:$port"),
        "headers with many spaces": headers("Auth-Status:   OK  ", "Auth-Server:  $server ", "Auth-Port: $port  "),
        "headers ended by LF": accept().replace(b"\r\n", b"\n"),
        "headers nobody knows": accept("X-Other: thing", "Content-Length: 4", "Empty:", "No-Colon") + b"body",
        "a header twice": headers(ok, "Auth-Server: 127.0.0.9", server, "Auth-Port: 1", port),
        "HTTP/1.1": headers(ok, server, port, status="HTTP/1.1 200 Fine indeed"),
        "204": headers(ok, server, port, status="HTTP/1.1 204 No Content"),
        "a refusal": reject("Invalid login or password"),
        "a refusal with colons": reject("Sorry: no"),
        "a refusal and another user": reject("No", "Auth-User: other"),
        "a refusal in small letters": reject("ok"),
        "a refusal that says OK too": headers("Auth-Status: No", ok, server, port),
        "a refusal behind OK": headers(ok, server, port, "Auth-Status: No"),
        "a refusal with a code": reject("Mailbox busy", "Auth-Error-Code: 454 4.7.0"),
        "a refusal with Auth-Wait 0": reject("No", "Auth-Wait: 0"),
        "a refusal with Auth-Wait that is no number": reject("No", "Auth-Wait: soon"),
        "a refusal with a negative Auth-Wait": reject("No", "Auth-Wait: -5"),
        "no server": headers(ok, port),
        "no port": headers(ok, server),
        "no server and no port": headers(ok),
        "a server that is a name": headers(ok, "Auth-Server: localhost", port),
        "a server in brackets": headers(ok, "Auth-Server: [::1]", port),
        "an empty server": headers(ok, "Auth-Server:", port),
        "a server cut short": headers(ok, "Auth-Server: 127.0.0", port),
        "port 0": headers(ok, server, "Auth-Port: 0"),
        "port 65536": headers(ok, server, "Auth-Port: 65536"),
        "a port past counting": headers(ok, server, "Auth-Port: 99999999999999999999"),
        "a port that is no number": headers(ok, server, "Auth-Port: imap"),
        "a header with an underscore": headers("Auth_Status: OK", server, port),
        "a header with a space": headers("Auth Status: OK", server, port),
        "a header that starts with a dash": headers("-Auth: OK"),
        "a continued header": headers("Auth-Status: OK", " more", server, port),
        "another user and a bad address": headers(ok, "Auth-User: other", "Auth-Server: localhost", port),
        "another user and no address": headers(ok, "Auth-User: other"),
        "no user at all and no address": headers(ok, "Auth-User:"),
        "another user and a bad header": headers(ok, "Auth-User: other", "a b: c"),
        "another user behind a bad header": headers(ok, "a b: c", "Auth-User: other"),
        "CR in the status line": b"HTTP/1.0 200 O\rK\r\n\r\n",
    }
    for name, answer in answers.items():
        yield case(f"the service answers with {name}", protocol, *login, auth=answer)


def _failures(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    yield case("the service does not answer", f"{protocol}-hasty", *login, auth=Act.KEEP_SILENT)
    yield case(
        "nobody listens at the backend",
        protocol,
        *login,
        auth=headers("Auth-Status: OK", "Auth-Server: $server", "Auth-Port: $closed"),
    )
    yield case("a login fails and succeeds", protocol, *login, *login, auth=(reject("No", "Auth-Wait: 1"), accept()))
    yield case("a login fails twice", protocol, *login, *login, auth=(reject("No", "Auth-Wait: 1"), reject("Never")))
    yield case("the service waits and accepts", protocol, *login, auth=(reject("WAIT", "Auth-Wait: 1"), accept()))
    yield case("the service waits and refuses", protocol, *login, auth=(reject("WAIT", "Auth-Wait: 1"), reject("No")))


def _requests(protocol: str) -> Iterator[Case]:
    login = LOGIN[protocol]
    yield case("the request has the configured headers", f"{protocol}-header", *login)
    yield case("the request has the configured query", f"{protocol}-query", *login)
    yield case("the request tells of TLS", f"{protocol}-tls", *login)


CASES: tuple[Case, ...] = tuple(
    case for protocol in LOGIN for make in (_verdicts, _failures, _requests) for case in make(protocol)
)

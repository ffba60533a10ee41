"""Where mailworker differs from nginx on purpose in what clients may say, and in what backends have to do with it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.oracle.difference import Entry, Why

DIALOGUES: Mapping[str, Entry] = {
    "another-identity": Entry(
        Why.SAFER,
        "logs the user in who asks by AUTH PLAIN to act for somebody else, and drops the other name",
        "refuses the login, or tells the auth service whom (`auth_http_authzid on`)",
        "RFC 4616, 2: the client would work in another mailbox than it believes",
    ),
    "unasked-literal": Entry(
        Why.SOUNDER,
        "closes behind an invalid command that ends with `{N+}`",
        "passes over the N bytes and the rest of the command, answers `BAD` and goes on, as far as the command would "
        "have fitted `imap_client_buffer`",
        "RFC 7888, 4: a server that refuses a command may read and drop its literals",
    ),
    "literals-at-once": Entry(
        Why.SOUNDER,
        "sends LOGIN to a backend in three pieces, and waits for the reply to each of them",
        "sends it in one piece, with `{N+}`, where the backend lists LITERAL+ or LITERAL-",
        "RFC 7888, 4: such a server takes literals without a go-ahead; it saves two round trips",
        parts=("backend",),
    ),
    "backend-without-login": Entry(
        Why.SAFER,
        "sends LOGIN, and the password, to a backend that lists LOGINDISABLED",
        "sends AUTHENTICATE PLAIN if the backend lists AUTH=PLAIN, and otherwise no password",
        "RFC 9051, 6.2.3: such a server gets no LOGIN; Dovecot asks for the whole LOGIN before it refuses it",
    ),
    "refused-user": Entry(
        Why.SOUNDER,
        "ends the login where a POP3 backend refuses USER",
        "asks by CAPA then, sends AUTH PLAIN if PLAIN is listed and USER is not, and logs it if TLS is wanted first",
        "RFC 2449, 6.4: USER is listed where it is taken; Dovecot's refusal has the code of a wrong password",
        parts=("backend",),
    ),
    "id-before-login": Entry(
        Why.SOUNDER,
        "answers `BAD` to ID",
        "answers `* ID NIL`, or what `imap_id` says, and logs what the client has sent",
        "RFC 2971, 3.1: ID is valid in every state; clients send it before the login where a capability lists it",
    ),
    "logindisabled": Entry(
        Why.SOUNDER,
        "lists a LOGINDISABLED of `imap_capabilities` where LOGIN is taken, behind TLS too, and twice with "
        "`starttls only`",
        "lists it once, and only where LOGIN is refused",
        "RFC 9051, 6.2.3: a client that sees it must not log in",
    ),
    "false-sasl-ir": Entry(
        Why.SOUNDER,
        "lists a SASL-IR of `imap_capabilities` with `starttls only` before TLS, where no mechanism is taken",
        "lists it only beside a mechanism",
        "RFC 4959, 3: it announces that AUTHENTICATE takes a response in its line",
    ),
    "empty-sasl": Entry(
        Why.SOUNDER,
        "answers CAPA with a `SASL` without mechanisms where `pop3_auth` has none of SASL",
        "leaves the line out",
        "RFC 5034, 3: the line lists one mechanism or more",
    ),
    "auth-mechanism": Entry(
        Why.SAFER,
        "sends AUTH PLAIN with the password whatever mechanisms a backend offers (`proxy_smtp_auth on`)",
        "uses LOGIN where that is offered and PLAIN is not, and sends no password where only other mechanisms are "
        "offered, or STARTTLS and no mechanism",
        "RFC 4954, 3: a client may use what the server lists; Exchange has no PLAIN, and Postfix with "
        "`smtpd_tls_auth_only` gets the password in clear and refuses it",
    ),
    "ehlo-before-auth": Entry(
        Why.SOUNDER,
        "sends AUTH after HELO if the client has sent that, and after XCLIENT alone if it has sent nothing "
        "(`proxy_smtp_auth on`)",
        "always sends EHLO before AUTH",
        "RFC 4954, 3: the reply to EHLO offers AUTH; Exim refuses it otherwise",
    ),
    "referral": Entry(
        Why.SAFER,
        "passes a backend's refusal on that sends the client to another server (`proxy_pass_error_message on`)",
        "answers with an internal error instead",
        "RFC 2221: the client would go there with its password, past the proxy",
    ),
    "no-refusal": Entry(
        Why.SAFER,
        "passes on whatever a backend says in place of the reply that the login needs, even a success "
        "(`proxy_pass_error_message on`)",
        "passes refusals on, and answers anything else with an internal error",
        "the client would believe that it is logged in",
    ),
    "wide-tags": Entry(
        Why.SOUNDER,
        "takes tags of at most 32 letters, digits, `-`, `.` and `_`",
        "takes tags of at most 100 of the characters that an IMAP tag may have",
        "RFC 9051, 9: any ASTRING-CHAR but `+`",
    ),
    "bye-text": Entry(
        Why.SOUNDER,
        "answers LOGOUT with `* BYE`",
        "answers `* BYE Logging out`",
        "RFC 9051, 7.1: a text follows; parsers of clients break without one",
    ),
    "space-before-password": Entry(
        Why.SOUNDER,
        "drops the spaces that a password in POP3's PASS begins with",
        "takes them for a part of it, as IMAP and SMTP do",
        "RFC 1939, 3: one space separates an argument; the user could log in by all protocols but this one",
    ),
    "helo-of-words": Entry(
        Why.SOUNDER,
        "refuses HELO and EHLO with a name of several words",
        "takes the words for the name",
        "Postfix and Dovecot do: printers and desktops send such names, and cannot send mail otherwise",
    ),
    "refusal-in-log": Entry(
        Why.LOG,
        "logs nothing of most commands and mechanisms that it refuses, nor of clients that leave before a login",
        "logs `client was refused:` and what it was, at `info`, ten lines of a client at most and no word of its own; "
        "logs `client left without a login` of one that has sent a command and was refused nothing",
        "the log should tell why a client gets no further; [troubleshooting](troubleshooting.md)",
        ("log",),
    ),
}

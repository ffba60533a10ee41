"""IMAP: what clients send, and what the parser makes of it."""

from __future__ import annotations

from mailworker.wire.imap import Continuation, ImapCommand, ImapVerb
from tests.wire.corpus import Case, Event, Invalid, Response, TooLong

GO_ON = Continuation()


def login(*arguments: bytes, tag: bytes = b"a") -> ImapCommand:
    return ImapCommand(tag, ImapVerb.LOGIN, arguments)


def noop(*arguments: bytes, tag: bytes = b"a") -> ImapCommand:
    return ImapCommand(tag, ImapVerb.NOOP, arguments)


def authenticate(*arguments: bytes, tag: bytes = b"a") -> ImapCommand:
    return ImapCommand(tag, ImapVerb.AUTHENTICATE, arguments)


def _one(data: bytes, *events: Event) -> Case:
    return Case(data, events)


# RFC 9051, 9: every ASTRING-CHAR but "+".
TAG_BYTES = bytes(byte for byte in range(0x21, 0x7F) if byte not in b'(){%*"\\+') + b"}"

VERBS = [
    _one(b"a CAPABILITY\r\n", ImapCommand(b"a", ImapVerb.CAPABILITY)),
    _one(b"a LOGOUT\r\n", ImapCommand(b"a", ImapVerb.LOGOUT)),
    _one(b"a STARTTLS\r\n", ImapCommand(b"a", ImapVerb.STARTTLS)),
    _one(b"a NOOP\r\n", noop()),
    _one(b"a noop\n", noop()),
    _one(b"a nOoP \r\n", noop()),
    _one(b"a    NOOP   x   y   \r\n", noop(b"x", b"y")),
    _one(b"a NOOP 1 2 3\r\n", noop(b"1", b"2", b"3")),
    _one(b"a NOOP 1 2 3 4\r\n", Invalid(b"a")),
    _one(b"a NOOP 1 2 3 4\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a SELECT INBOX\r\n", Invalid(b"a")),
    _one(b"a NOOPS\r\n", Invalid(b"a")),
    _one(b"a NOO\r\n", Invalid(b"a")),
    _one(b"a NOOP\t\r\n", Invalid(b"a")),
    _one(b"a N\0OP\r\n", Invalid(b"a")),
    _one(b"a NOOP;x\r\n", Invalid(b"a")),
    _one(b'a NOOP"x"\r\n', Invalid(b"a")),
    _one(b"a \r\n", Invalid(b"a")),
    _one(b"a     \n", Invalid(b"a")),
    _one(b"a \xc3\xa9\r\n", Invalid(b"a")),
    _one(b"a NOOP\r\n" * 400, *[noop()] * 400),
]

TAGS = [
    _one(b"A.9_z-0 NOOP\r\n", noop(tag=b"A.9_z-0")),
    _one(b"tag/1 NOOP\r\n", noop(tag=b"tag/1")),
    _one(b"A1= LOGIN u p\r\n", login(b"u", b"p", tag=b"A1=")),
    _one(b"1#1 LOGIN {1+}\r\nu p\r\n", login(b"u", b"p", tag=b"1#1")),
    _one(TAG_BYTES + b" NOOP\r\n", noop(tag=TAG_BYTES)),
    _one(TAG_BYTES + b" LOGIN u p\r\n", login(b"u", b"p", tag=TAG_BYTES)),
    _one(b"<b> FOO\r\n", Invalid()),
    _one(b"t" * 100 + b" NOOP\r\n", noop(tag=b"t" * 100)),
    _one(b"t" * 101 + b" NOOP\r\n", Invalid()),
    _one(b"t" * 32 + b" FOO\r\n", Invalid(b"t" * 32)),
    _one(b" NOOP\r\n", Invalid(b"")),
    _one(b" FOO\r\n", Invalid(b"")),
    _one(b"\r\n", Invalid()),
    _one(b"\n", Invalid()),
    _one(b"a\r\n", Invalid()),
    _one(b"* NOOP\r\n", Invalid()),
    _one(b"a+ NOOP\r\n", Invalid()),
    _one(b"a\tNOOP\r\n", Invalid()),
    _one(b"a\0 NOOP\r\n", Invalid()),
    _one(b"\xe9 NOOP\r\n", Invalid()),
    _one(b"<script>a(1)</script> NOOP\r\n", Invalid()),
    _one(b"a FOO\r\n((( NOOP\r\n\r\n", Invalid(b"a"), Invalid(), Invalid()),
    _one(b"longtag LOGIN u p\r\n!!!!\r\n", login(b"u", b"p", tag=b"longtag"), Invalid()),
    _one(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Invalid(b"GET"), Invalid(b"Host:"), Invalid()),
    *(_one(b"a%cb NOOP\r\n" % byte, noop(tag=b"a%cb" % byte)) for byte in TAG_BYTES),
    *(_one(b"a%cb X\r\n" % byte, Invalid()) for byte in range(256) if byte not in TAG_BYTES and byte not in b" \n"),
]

LINE_ENDS = [
    _one(b"a NOOP\r\r\n", Invalid(b"a")),
    _one(b"a NO\rOP\r\n", Invalid(b"a")),
    _one(b"a\rb NOOP\r\n", Invalid()),
    _one(b"a NOOP x\ry\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a LOGIN u p\r", *()),
    _one(b"a LOGIN u p\rb NOOP\r\n", Invalid(b"a")),
    _one(b"a NOOP\nb NOOP\n", noop(), noop(tag=b"b")),
    _one(b"", *()),
    _one(b"a NOOP", *()),
]

ATOMS = [
    _one(b"a LOGIN user pass\r\n", login(b"user", b"pass")),
    _one(b"a LOGIN   user   pass  \r\n", login(b"user", b"pass")),
    _one(b"a LOGIN\r\n", login()),
    _one(b"a LOGIN user\r\n", login(b"user")),
    _one(b'a LOGIN u"s\\e{1} p\r\n', login(b'u"s\\e{1}', b"p")),
    _one(b"a LOGIN u\0 \xff%u%$\r\n", login(b"u\0", b"\xff%u%$")),
    _one(b"a LOGIN u\t p\r\n", login(b"u\t", b"p")),
    _one(b"a LOGIN u\\ p\r\n", login(b"u\\", b"p")),
    _one(b"a LOGIN u} }\r\n", login(b"u}", b"}")),
    _one(b"a LOGIN a b c d\r\n", Invalid(b"a")),
]

QUOTED = [
    _one(b'a LOGIN "user" "pass"\r\n', login(b"user", b"pass")),
    _one(b'a LOGIN user "pass"\r\n', login(b"user", b"pass")),
    _one(b'a LOGIN "user" pass \r\n', login(b"user", b"pass")),
    _one(b'a LOGIN "" ""\r\n', login(b"", b"")),
    _one(b'a LOGIN "u v" "p  q "\r\n', login(b"u v", b"p  q ")),
    _one(b'a LOGIN "u\\"v" "p\\\\q"\r\n', login(b'u"v', b"p\\q")),
    _one(b'a LOGIN "\\u\\v" p\\q\r\n', login(b"uv", b"p\\q")),
    _one(b'a LOGIN "u""p"\r\n', login(b"u", b"p")),
    _one(b'a LOGIN "u"p\r\n', login(b"u", b"p")),
    _one(b'a LOGIN "u"  "p"x\r\n', login(b"u", b"p", b"x")),
    _one(b'a LOGIN "u" "p" "q" "r"\r\n', Invalid(b"a")),
    _one(b'a LOGIN "u""p""q"r\r\n', Invalid(b"a")),
    _one(b'a LOGIN "u p\r\nb LOGIN u p\r\n', login(b"u p"), login(b"u", b"p", tag=b"b")),
    _one(b'a LOGIN u "p \r\nb LOGIN u p\r\n', login(b"u", b"p "), login(b"u", b"p", tag=b"b")),
    _one(b'a LOGIN u "\r\n', login(b"u", b"")),
    _one(b'a LOGIN "\\\r\nb NOOP\r\n', Invalid(b"a"), noop(tag=b"b")),
    _one(b'a LOGIN "\\\nb NOOP\r\n', Invalid(b"a"), noop(tag=b"b")),
    _one(b'a LOGIN "\\\\\r\n', login(b"\\")),
    _one(b'a LOGIN "{3}" "{3+}"\r\n', login(b"{3}", b"{3+}")),
    _one(b'a LOGIN "u\0v" "\\\0"\r\n', login(b"u\0v", b"\0")),
    _one(b'a LOGIN "u\rv" p\r\n', Invalid(b"a")),
    _one(b'a LOGIN u"p" "q"\r\n', login(b'u"p"', b"q")),
]

LITERALS = [
    _one(b"a LOGIN {1}\r\nu {1}\r\np\r\n", GO_ON, GO_ON, login(b"u", b"p")),
    _one(b"a LOGIN {1}\nu {1}\np\n", GO_ON, GO_ON, login(b"u", b"p")),
    _one(b"a LOGIN {1+}\r\nu {1+}\r\np\r\n", login(b"u", b"p")),
    _one(b"a LOGIN u {4}\r\n", GO_ON),
    _one(b"a LOGIN u {4}\r\npas", GO_ON),
    _one(b"a LOGIN u {4}\r\npass", GO_ON),
    _one(b"a LOGIN u {4}\r\npass\r\n", GO_ON, login(b"u", b"pass")),
    _one(b'a LOGIN "u"{1+}\r\np\r\n', login(b"u", b"p")),
    _one(b'a LOGIN {1+}\r\nu "p"\r\n', login(b"u", b"p")),
    _one(b"a LOGIN {1+}\r\nu p   \r\n", login(b"u", b"p")),
    _one(b"a LOGIN {1+}\r\nu   \r\n", login(b"u")),
    _one(b"a LOGIN {10+}\r\nu\r\nb NOOP\r {1+}\r\np\r\n", login(b"u\r\nb NOOP\r", b"p")),
    _one(b"a LOGIN {4+}\r\n\0\r\n\xff {1+}\r\n\n\r\n", login(b"\0\r\n\xff", b"\n")),
    _one(b"a LOGIN u {0}\r\n\r\n", GO_ON, login(b"u", b"")),
    _one(b"a LOGIN u {0+}\r\n\r\nb NOOP\r\n", login(b"u", b""), noop(tag=b"b")),
    _one(b"a LOGIN {0+}\r\n {0+}\r\n\r\n", login(b"", b"")),
    _one(b"a LOGIN u {}\r\n\r\n", GO_ON, login(b"u", b"")),
    _one(b"a LOGIN u {+}\r\n\r\n", login(b"u", b"")),
    _one(b"a LOGIN u {0001+}\r\np\r\n", login(b"u", b"p")),
    _one(b"a LOGIN u {1+}\r\npx\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b'a LOGIN {1+}\r\nu"p"\r\n', Invalid(b"a")),
    _one(b"a LOGIN {1+}\r\nu{1+}\r\np\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1+}\r\nu\rp\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1+}\r\nu\r\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1+}\r\nu p q r\r\n", Invalid(b"a")),
    _one(b"a NOOP 1 2 3 {1}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a NOOP {1+}\r\n1 {1+}\r\n2 {1+}\r\n3\r\n", noop(b"1", b"2", b"3")),
    _one(b"a NOOP {1+}\r\n1 {1+}\r\n2 {1+}\r\n3 {1+}\r\n4\r\n", Invalid(b"a")),
    _one(b"a AUTHENTICATE {5+}\r\nPLAIN {4+}\r\nAHUA\r\n", authenticate(b"PLAIN", b"AHUA")),
    _one(b"a LOGIN {-1}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a LOGIN {1x}\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1\r\n", Invalid(b"a")),
    _one(b"a LOGIN {\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1} \r\n", Invalid(b"a")),
    _one(b"a LOGIN {1}x\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1}\r\r\n", Invalid(b"a")),
    _one(b"a LOGIN {1++}\r\n", Invalid(b"a", close=True)),
    _one(b"a LOGIN { 1}\r\n", Invalid(b"a")),
    _one(b"a LOGIN {99999999999999999999999}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a LOGIN {4294967296}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a LOGIN {4294967296+}\r\nb NOOP\r\n", Invalid(b"a", close=True), noop(tag=b"b")),
    _one(b"a LOGIN {999999999}\r\n", Invalid(b"a")),
    Case(b"a LOGIN {" + b"9" * 5000 + b"}\r\nb NOOP\r\n", (Invalid(b"a"), noop(tag=b"b")), limit=8192),
    Case(b"a LOGIN {" + b"0" * 5000 + b"1+}\r\nu\r\n", (login(b"u"),), limit=8192),
    _one(b"a FOO {7}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a FOO {7+}\r\nb NOOP\r\n", Invalid(b"a")),
    _one(b"a FOO {8+}\r\nb NOOP\r\n", *()),
    _one(b"a FOO {6+}\r\nb NOOP\r\nc NOOP\r\n", Invalid(b"a"), noop(tag=b"c")),
    _one(b"a FOO {6+}\nb NOOP\nc NOOP\n", Invalid(b"a"), noop(tag=b"c")),
    _one(b"a FOO {2+}\r\nxx {3+}\r\n\r\n\0 (y)\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a FOO {2+}\r\nxx {3}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a FOO {2+}\r\nxx {99999+}\r\nb NOOP\r\n", Invalid(b"a", close=True), noop(tag=b"b")),
    _one(b"a FOO {2+}\r\nxx x+}\r\n", Invalid(b"a", close=True)),
    _one(b"a FOO {0+}\r\n\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a FOO {+}\r\n\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a LOGIN u p x {1+}\r\ny\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a APPEND x (\\Seen) {9+}\r\nb NOOP\r\n\r\r\nc NOOP\r\n", Invalid(b"a"), noop(tag=b"c")),
    _one(b"a FOO+}\r\n", Invalid(b"a", close=True)),
    _one(b"((( {2+}\r\nxx\r\nb NOOP\r\n", Invalid(), noop(tag=b"b")),
    _one(b"a NOOP x{7+}\r\n", noop(b"x{7+}")),
]


def identified(argument: bytes) -> ImapCommand:
    return ImapCommand(b"a", ImapVerb.ID, (argument,))


NIL = identified(b"NIL")
KEYS = b"(%b)" % b" ".join([b'"k" "v"'] * 400)
IDS = [
    _one(b"a ID NIL\r\n", NIL),
    _one(b"a id nil\r\n", NIL),
    _one(b"a ID ()\r\n", NIL),
    _one(b'a ID ("name" "x")\r\n', identified(b'("name" "x")')),
    _one(b'a ID ("name" NIL)\r\n', identified(b'("name" NIL)')),
    _one(
        b'a ID ("name" "x" "version" "1.2 (3)" "os" nil)\r\n', identified(b'("name" "x" "version" "1.2 (3)" "os" NIL)')
    ),
    _one(b'a ID ( "na\\"me"  "\\\\" )  \r\n', identified(b'("na\\"me" "\\\\")')),
    _one(b'a ID ("name" {4+}\r\nabcd)\r\nb NOOP\r\n', identified(b'("name" "abcd")'), noop(tag=b"b")),
    _one(b'a ID ("name" {4}\r\nabcd)\r\nb NOOP\r\n', GO_ON, identified(b'("name" "abcd")'), noop(tag=b"b")),
    _one(
        b'a ID ({4+}\r\n"\r\n) {2}\r\n)) "os" NIL)\r\nb NOOP\r\n',
        GO_ON,
        identified(b'("\\"\r\n)" "))" "os" NIL)'),
        noop(tag=b"b"),
    ),
    _one(b'a ID ({1+}\r\n\n "\\n")\r\n', identified(b'("\n" "n")')),
    _one(b'a ID ("a {5+}\r\n NIL b" NIL)\r\n', Invalid(b"a")),
    _one(b"a ID ({0+}\r\n {0+}\r\n)\r\n", identified(b'("" "")')),
    _one(b"a ID\r\n", Invalid(b"a")),
    _one(b"a ID \r\n", Invalid(b"a")),
    _one(b"a ID (\r\n", Invalid(b"a")),
    _one(b'a ID "name" "x"\r\n', Invalid(b"a")),
    _one(b'a ID ("name")\r\n', Invalid(b"a")),
    _one(b'a ID (NIL "x")\r\n', Invalid(b"a")),
    _one(b"a ID (name x)\r\n", Invalid(b"a")),
    _one(b'a ID ("name" "x") y\r\n', Invalid(b"a")),
    _one(b'a ID ("name" "x"\rz)\r\n', Invalid(b"a")),
    _one(b"a ID ({1+}\r\nx{1+}\r\ny\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a ID ({1+}\r\nx\ry {1+}\r\nz)\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a ID ({4096}\r\nb NOOP\r\n", Invalid(b"a"), noop(tag=b"b")),
    _one(b"a ID ({4096+}\r\nb NOOP\r\n", Invalid(b"a", close=True), noop(tag=b"b")),
    _one(b"a ID (" + b'"k" "v" ' * 400 + b")\r\n", identified(KEYS)),
]

RESPONSES = [
    Case(b"a AUTHENTICATE PLAIN\r\nAHUAcA==\r\n", (authenticate(b"PLAIN"), Response(b"AHUAcA==")), responses=1),
    Case(
        b"a AUTHENTICATE LOGIN\r\ndQ==\ncA==\r\nb NOOP\r\n",
        (authenticate(b"LOGIN"), Response(b"dQ=="), Response(b"cA=="), noop(tag=b"b")),
        responses=2,
    ),
    Case(b"a AUTHENTICATE PLAIN\r\n*\r\n", (authenticate(b"PLAIN"), Response(b"*")), responses=1),
    Case(b"a AUTHENTICATE PLAIN\r\n\r\n", (authenticate(b"PLAIN"), Response(b"")), responses=1),
    Case(b"a AUTHENTICATE PLAIN\r\n=\r\n", (authenticate(b"PLAIN"), Response(b"=")), responses=1),
    Case(b"a AUTHENTICATE PLAIN\r\nx y z\r\n", (authenticate(b"PLAIN"), Response(b"x")), responses=1),
    Case(b"a AUTHENTICATE PLAIN\r\nx   \r\n", (authenticate(b"PLAIN"), Response(b"x")), responses=1),
    Case(b"a AUTHENTICATE PLAIN\r\n x y\r\n", (authenticate(b"PLAIN"), Response(b"")), responses=1),
    Case(b'a AUTHENTICATE PLAIN\r\n"x y" z\r\n', (authenticate(b"PLAIN"), Response(b'"x')), responses=1),
    Case(
        b"a AUTHENTICATE PLAIN\r\n1 2 3 4\r\nb NOOP\r\n",
        (authenticate(b"PLAIN"), Invalid(b"a"), noop(tag=b"b")),
        responses=1,
    ),
    Case(b"a AUTHENTICATE PLAIN\r\n 2 3 4\r\n", (authenticate(b"PLAIN"), Invalid(b"a")), responses=1),
    Case(
        b"a AUTHENTICATE PLAIN\r\nx\ry\r\n(( NOOP\r\n",
        (authenticate(b"PLAIN"), Invalid(b"a"), Invalid()),
        responses=1,
    ),
    Case(
        b"a AUTHENTICATE LOGIN\r\n" + b"d" * 30 + b"\r\n" + b"c" * 30 + b"\r\n",
        (authenticate(b"LOGIN"), Response(b"d" * 30), Response(b"c" * 30)),
        limit=32,
        responses=2,
    ),
    Case(
        b"a AUTHENTICATE LOGIN\r\n" + b"d" * 32 + b"\r\n",
        (authenticate(b"LOGIN"), TooLong(b"d" * 32, b"a")),
        limit=32,
        responses=2,
    ),
    Case(b"a AUTHENTICATE PLAIN AHUAcA==\r\n", (authenticate(b"PLAIN", b"AHUAcA=="),)),
    Case(b"a AUTHENTICATE\r\n", (authenticate(),)),
]

BOUNDS = [
    Case(b"a NOOP 789abcde\n", (noop(b"789abcde"),), limit=16),
    Case(b"a NOOP 789abcdef\n", (TooLong(b"a NOOP 789abcdef", b"a"),), limit=16),
    Case(b"a NOOP 789abcd\r\n" * 3, (noop(b"789abcd"),) * 3, limit=16),
    Case(b"a NOOP\r\n" * 3, (noop(),) * 3, limit=8),
    Case(b"x" * 5000, (TooLong(b"x" * 4096),)),
    Case(b" " * 17, (TooLong(b" " * 16, b""),), limit=16),
    Case(b"longtag LOGIN u " + b"p" * 99, (TooLong(b"longtag LOGIN u " + b"p" * 16, b"longtag"),), limit=32),
    Case(b"a NOOP {4+}\r\n1234\n", (noop(b"1234"),), limit=18),
    Case(b"a NOOP {4+}\r\n1234\r\n", (TooLong(b"a NOOP {4+}\r\n1234\r", b"a"),), limit=18),
    Case(b"a NOOP {5+}\r\nb NOOP\r\n", (Invalid(b"a", close=True), noop(tag=b"b")), limit=18),
    Case(b"a NOOP {5}\r\nb NOOP\r\n", (GO_ON, TooLong(b"a NOOP {5}\r\nb NOOP", b"a")), limit=18),
    Case(b"a NOOP {6}\r\nb NOOP\r\n", (Invalid(b"a"), noop(tag=b"b")), limit=18),
    Case(b"a FOO {18+}\r\n" + b"x" * 18 + b"\r\nb NOOP\r\n", (Invalid(b"a"), noop(tag=b"b")), limit=32),
    Case(b"a FOO {20+}\r\nb NOOP\r\n", (Invalid(b"a", close=True), noop(tag=b"b")), limit=32),
    Case(b"a FOO {9+}\r\n123456789" + b" y" * 16, (TooLong(b"...", b"a"),), limit=32),
    Case(b"a FOO {3+}\r\n123 {3+}\r\n123 {3+}\r\n\r\n", (Invalid(b"a", close=True), Invalid()), limit=32),
    Case(
        b"a NOOP {4+}\r\n1234 {4+}\r\n1234\r\n",
        (Invalid(b"a", close=True), Invalid()),
        limit=26,
    ),
    Case(b"a LOGIN {4096}\r\nb NOOP\r\n", (Invalid(b"a"), noop(tag=b"b"))),
    Case(b"a LOGIN {4079}\r\n" + b"u" * 4079 + b"\n", (GO_ON, login(b"u" * 4079))),
    Case(b"a LOGIN {4080}\r\n", (Invalid(b"a"),)),
    Case(b"a NOOP " + b"(" * 60000, (TooLong(b"a NOOP " + b"(" * 4089, b"a"),)),
]

CASES = VERBS + TAGS + LINE_ENDS + ATOMS + QUOTED + LITERALS + IDS + RESPONSES + BOUNDS

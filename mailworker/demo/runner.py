"""Starts and stops everything of the demo."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.web.server import Site

from mailworker.config.auth_http import AuthHttpSettings
from mailworker.config.settings import Settings
from mailworker.demo.account import PASSWORD, USER
from mailworker.demo.auth_service import AuthService
from mailworker.demo.examples import examples
from mailworker.demo.imap import ImapFactory
from mailworker.demo.mailbox import sample_mailbox
from mailworker.demo.pop3 import Pop3Factory
from mailworker.demo.ports import demand_free_ports
from mailworker.demo.prefix import prepare_prefix
from mailworker.demo.proxy import Proxy
from mailworker.demo.smtp import SmtpFactory
from mailworker.errors import ConfigError, StartError
from mailworker.model import Address, InetAddress
from mailworker.process.invocation import Invocation

_CHECKOUT = Path(__file__).resolve().parents[2]
_LOOPBACK = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until SIGINT or SIGTERM; returns the exit code: 0 then, 1 where something failed."""
    options = _parse(arguments)
    try:
        configuration = prepare_prefix(options.prefix, options.configuration)
        settings = Invocation((), options.prefix, configuration, error_log=None).read(lambda *_: None)
        demand_free_ports(settings.servers, options.configuration)
        demo = Demo(reactor, options.prefix, settings)
        demo.listen()
    except (ConfigError, StartError, OSError) as error:
        return _fail(str(error))
    return demo.run()


class Demo:
    """The mailbox and, if configured, the auth service run in this process, the proxy in its own."""

    def __init__(self, reactor: Any, prefix: Path, settings: Settings) -> None:
        self._reactor = reactor
        self._prefix = prefix
        self._settings = settings
        self._proxy = Proxy(reactor, settings.core.pid, self._greet, self._proxy_ended)
        self._told_to_stop = False
        self._stopping = False
        self._exit_code = 0

    def listen(self) -> None:
        """Open the mailbox at the addresses of `proxy_pass`, and the auth service at those of `auth_http`.

        Backends that only the auth service knows get ports from the kernel. Raises StartError where one of them cannot
        listen at its address.
        """
        mailbox = sample_mailbox()
        factories = {"imap": ImapFactory(mailbox), "pop3": Pop3Factory(mailbox), "smtp": SmtpFactory(mailbox)}
        servers = self._settings.servers
        mailboxes = {(address, server.protocol) for server in servers for address in server.proxy.addresses}
        for address, protocol in mailboxes:
            self._listen("mailbox", address, factories[protocol])
        sources = {server.source for server in servers}
        addresses = {source.address for source in sources if isinstance(source, AuthHttpSettings)}
        if addresses:
            routes = {name.encode(): self._anywhere(factory) for name, factory in factories.items()}
            site = Site(AuthService(routes))
            site.noisy = False
            for address in addresses:
                self._listen("auth service", address, site)

    def run(self) -> int:
        """Start the proxy and serve until told to stop; returns the exit code."""
        self._reactor.callWhenRunning(self._proxy.start, _CHECKOUT / "bin" / "mailworker", self._prefix)
        self._reactor.callWhenRunning(self._obey_signals)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._proxy.stop)
        self._reactor.run()
        return self._exit_code

    def _anywhere(self, factory: Any) -> tuple[str, int]:
        """Listen on any port; returns host and port."""
        port = self._reactor.listenTCP(0, factory, interface=_LOOPBACK)
        return _LOOPBACK, port.getHost().port

    def _listen(self, what: str, address: Address, factory: Any) -> None:
        if not isinstance(address, InetAddress):
            raise StartError(f"the demo's {what} cannot listen on {address}")
        try:
            self._reactor.listenTCP(address.port, factory, interface=address.host)
        except CannotListenError as error:
            raise StartError(f"the {what} cannot listen on {address}: {error.socketError}") from error

    def _greet(self) -> None:
        user, password = USER.decode("ascii"), PASSWORD.decode("ascii")
        print(f"\nmailworker is serving; user {user}, password {password}. Paste a line, or stop with Ctrl-C:\n")
        for example in examples(self._settings.servers):
            print(f"  {example}")
        print(flush=True)

    def _obey_signals(self) -> None:
        """Replace Twisted's handlers: each signal stops the reactor, and a reactor that stops complains of the next."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupted)

    def _interrupted(self, *_: object) -> None:
        self._told_to_stop = True
        self._reactor.callFromThread(self._stop)

    def _proxy_ended(self, status: int) -> None:
        # Ctrl-C ends both, and perhaps us later.
        if not self._told_to_stop:
            self._exit_code = _fail(f"mailworker ended with status {status}")
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mailworker.demo", description=__doc__)
    parser.add_argument("-c", dest="configuration", type=Path, default=_CHECKOUT / "conf" / "mailworker.conf")
    parser.add_argument("-p", dest="prefix", type=Path, default=_CHECKOUT / ".run")
    return parser.parse_args(arguments)


def _fail(message: str) -> int:
    print(f"demo: {message}", file=sys.stderr)
    return 1

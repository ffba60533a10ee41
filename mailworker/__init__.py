"""mailworker: a mail proxy for IMAP, POP3, SMTP and ManageSieve that is run exactly as nginx."""

__version__ = "0.1.0"

"""A mail proxy to try without any mail server: `python -m mailworker.demo`.

It runs an embedded mailbox (IMAP, POP3 and SMTP) and an embedded auth service, and in front of them the real master
and workers with an ordinary configuration file. Needs the `demo` extra.
"""

"""The folder that the demo's proxy runs in, laid out like nginx's prefix: conf/ and logs/."""

from __future__ import annotations

from pathlib import Path

from mailworker.demo.certificate import ensure_certificate


def prepare_prefix(prefix: Path, configuration: Path) -> Path:
    """Make the folders and the certificate; returns the path of `configuration` inside `prefix`.

    The file is linked, not copied, so `mailworker -p PREFIX -s reload` sees what was edited.
    """
    conf = prefix / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (prefix / "logs").mkdir(exist_ok=True)
    ensure_certificate(conf / "mailworker.crt", conf / "mailworker.key")
    link = conf / "mailworker.conf"
    link.unlink(missing_ok=True)
    link.symlink_to(configuration.resolve(strict=True))
    return link

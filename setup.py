"""Metadata and dependencies of mailworker."""

import os
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

# As in mailworker/native/build.py: the compiler's warnings are errors in continuous integration.
WARNINGS = ["-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"]

# The modules of Python's own C interface and their sources; cffi makes the one for OpenSSL.
EXTENSIONS = {
    "_relay": ["_relay.c", "relay_steps.c"],
    "_sockets": ["_sockets.c"],
    "_stream": ["_stream.c", "stream_actions.c", "reply.c"],
    "_task": ["_task.c"],
    "_timers": ["_timers.c", "timed.c"],
}
HEADERS = ("epoll", "events", "exception", "pump", "reply", "sending", "side", "stream", "timed")
if sys.platform == "linux":
    EXTENSIONS["_epoll"] = ["_epoll.c", "epoll_rounds.c"]

setup(
    name="mailworker",
    version="0.1.0",
    description="A mail proxy for IMAP, POP3 and SMTP that is run exactly as nginx",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The mailworker authors",
    license="BSD-2-Clause",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "Operating System :: MacOS",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Communications :: Email",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["mailworker", "mailworker.*"]),
    package_data={"mailworker": ["py.typed"], "mailworker.native": ["*.c", "*.cdef", "*.h", "*.pyi"]},
    ext_modules=[
        Extension(
            f"mailworker.native.{name}",
            [f"mailworker/native/{source}" for source in sources],
            depends=[f"mailworker/native/{header}.h" for header in HEADERS],
            extra_compile_args=WARNINGS if os.environ.get("MAILWORKER_WERROR") else [],
        )
        for name, sources in EXTENSIONS.items()
    ],
    cffi_modules=["mailworker/native/build.py:ffibuilder"],
    entry_points={"console_scripts": ["mailworker=mailworker.cli:main", "mailworker-tune=mailworker.tune.main:main"]},
    install_requires=[
        "cffi>=1.15",
        "cryptography>=42",
        "dnspython>=2.3",
        "psutil>=5.9",
        "pyOpenSSL>=24.0",
        "python-daemon>=3.0.1",
        "setproctitle>=1.3",
    ],
    extras_require={
        "dev": ["mailworker[dist,lint,test]"],
        "dist": ["build"],
        "demo": ["twisted>=26.4"],
        "fuzz": ["mailworker[test]", "atheris>=2.3"],
        "test": [
            "mailworker[demo]",
            "hypothesis>=6.80",
            "pytest>=8.0",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "tlslite-ng>=0.8",
        ],
        "lint": [
            "import-linter>=2.0",
            "mypy>=1.11",
            "ruff>=0.9",
            "types-cffi",
            "types-psutil",
            "types-setuptools",
        ],
    },
)

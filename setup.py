"""Metadata and dependencies of mailworker."""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

VERSION = "0.1.0"

# For a release, these variables of the environment are the address of the repository, https://forge.example/owner/name,
# and MAILWORKER_EMAIL, an address for the metadata.
REPOSITORY = os.environ.get("MAILWORKER_REPOSITORY", "").rstrip("/")

# A link to another file of the repository. A package index, which shows the README alone, does not have that file.
RELATIVE_LINK = re.compile(r"\[([^]]+)\]\((?!https?:|#)([^)]+)\)")

# As in mailworker/native/build.py: with MAILWORKER_WERROR, as in continuous integration, warnings are errors.
WARNINGS = [
    *("-Wall", "-Wextra", "-Wshadow", "-Wunused-macros", "-Wno-unused-parameter", "-Wno-missing-field-initializers"),
    "-Werror",
]

# Functions that are not exported are called directly, and not through the table for functions that may be replaced.
HIDDEN = ["-fvisibility=hidden"]

NATIVE = Path("mailworker", "native")

# The sources of `_core`, a module of Python's own C interface; cffi makes the one for OpenSSL.
FOLDERS = ("core", "mail", "relay", "shm", "variables", "wire")
CORE = sorted(str(path) for folder in FOLDERS for path in (NATIVE / folder).glob("*.c"))
if sys.platform != "linux":
    for name in ("epoll.c", "round.c"):
        CORE.remove(str(NATIVE / "core" / name))


class BuildExtensions(build_ext):
    """Compiles the files of an extension in parallel, one for each processor."""

    def build_extension(self, ext: Extension) -> None:
        compile_all = self.compiler.compile

        def compile_each(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                done = list(pool.map(lambda source: compile_all([source], **options), sources))
            return [name for names in done for name in names]

        self.compiler.compile = compile_each
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_all


def description() -> str:
    """The README as it is shown without the repository: its links lead there; without an address they become text."""
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return RELATIVE_LINK.sub(rf"[\1]({REPOSITORY}/blob/v{VERSION}/\2)" if REPOSITORY else r"\1", readme)


def project_urls() -> dict[str, str]:
    """Links to the repository; none without its address."""
    pages = {
        "Source": "",
        "Documentation": "/tree/v{}/docs",
        "Changelog": "/blob/v{}/CHANGELOG.md",
        "Issues": "/issues",
    }
    return {name: REPOSITORY + page.format(VERSION) for name, page in pages.items()} if REPOSITORY else {}


setup(
    # The name `mailworker` belongs to another program on the Python package index.
    name="mailworker-proxy",
    version=VERSION,
    description="A mail proxy for IMAP, POP3, SMTP and ManageSieve that is run exactly as nginx",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="The mailworker authors",
    author_email=os.environ.get("MAILWORKER_EMAIL"),
    url=REPOSITORY or None,
    project_urls=project_urls(),
    keywords=["mail", "proxy", "imap", "pop3", "smtp", "submission", "managesieve", "nginx", "auth_http", "starttls"],
    license="BSD-2-Clause",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "Operating System :: MacOS",
        "Operating System :: POSIX",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Communications :: Email",
        "Topic :: Communications :: Email :: Mail Transport Agents",
        "Topic :: Communications :: Email :: Post-Office :: IMAP",
        "Topic :: Communications :: Email :: Post-Office :: POP3",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["mailworker", "mailworker.*"]),
    package_data={
        "mailworker": ["py.typed"],
        "mailworker.reference": ["entries/*.md"],
        "mailworker.status": ["*.html"],
        "mailworker.native": ["*/*.pyi"],  # the sources in C are in the source archive, by MANIFEST.in
    },
    ext_modules=[
        Extension(
            "mailworker.native.core._core",
            CORE,
            include_dirs=[str(NATIVE / folder) for folder in FOLDERS],
            depends=[str(header) for header in NATIVE.glob("*/*.h")],
            extra_compile_args=[*HIDDEN, *(WARNINGS if os.environ.get("MAILWORKER_WERROR") else [])],
        )
    ],
    cmdclass={"build_ext": BuildExtensions},
    cffi_modules=["mailworker/native/build.py:ffibuilder"],
    # No entry points: the scripts have something to set before the package is loaded.
    scripts=["bin/mailworker", "bin/mailworker-ctl", "bin/mailworker-top"],
    entry_points={"console_scripts": ["mailworker-tune=mailworker.tune.main:main"]},
    # Debian 12 has these versions, and gets security updates for them.
    install_requires=[
        "cffi>=1.15",
        "cryptography>=38",
        "psutil>=5.9",
        "pyOpenSSL>=23.0",
        "prometheus-client>=0.16",
        "python-daemon>=2.3.2",
        "setproctitle>=1.3",
    ],
    extras_require={
        "dev": ["mailworker-proxy[dist,docs,lint,test]"],
        "dist": ["build", "check-wheel-contents", "pyroma", "twine"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.7,<10"],
        "demo": ["cryptography>=42", "twisted>=26.4"],
        "top": ["textual>=1.0"],
        "fuzz": ["mailworker-proxy[test]", "atheris>=2.3"],
        "test": [
            "mailworker-proxy[demo,docs,top]",
            "dnspython>=2.3",
            "grimp>=3.5",
            "hypothesis>=6.80",
            "managesieve>=0.8",
            "markdown-it-py>=2.1",
            "pytest>=9.0",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "quickjs>=1.19",
            "setuptools",
            "sievelib>=1.4",
            "starlette>=0.40",
            "supervisor>=4.2.5",
            "tlslite-ng>=0.8",
            "uvicorn>=0.30",
        ],
        "lint": [
            "clang-format>=18",
            "import-linter>=2.0",
            "mypy>=1.11",
            "types-PyYAML",
            "ruff>=0.9",
            "types-cffi",
            "types-psutil",
            "types-setuptools",
        ],
    },
)

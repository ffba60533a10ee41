# All commands; `make help` lists them. `make run` and `make test` create a virtual environment, build the native part,
# and install the packages that are missing; .ci/prerequisites checks what they need from the system.

PYTHON ?= python3
VENV ?= .venv
# The module that runs the tests; continuous integration uses tests.support.again.
PYTEST ?= pytest

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Installs mailworker with $(EXTRAS), or with the extra that the target is named after. The build dependencies are
# installed first, as pip takes longer to create an isolated environment for them. compileall compiles the bytecode, as
# pip would use one processor, and compile the tests of each package as well. mailworker's own bytecode is compiled here,
# as the program writes none, and a test may start it ten times.
define INSTALL
@$(PIP) --upgrade 'setuptools>=70.1' 'cffi>=1.15'
@$(PIP) --no-build-isolation --editable '.[$(or $(EXTRAS),$*)]'
@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib mailworker || true
endef
NATIVE := $(wildcard mailworker/native/*/*.c mailworker/native/*/*.h mailworker/native/*/*.cdef) mailworker/native/build.py
C := $(wildcard mailworker/native/*/*.[ch] bench/*.c fuzz/*.c)

.PHONY: help everything run run-auth-http test pure smoke bench lint type docs chaos soak fuzz dist man install \
	install-paths libraries uninstall deb check-dist check-packages check-page clean

help:
	@echo 'make run    a demo mailbox, master and workers, until Ctrl-C'
	@echo 'make run-auth-http  the same with an HTTP service that decides about logins (auth_http)'
	@echo 'make test   all tests'
	@echo 'make pure   the tests of the event core and of sessions without the C of native/ but for that of OpenSSL, a minute'
	@echo 'make smoke  install, start, log in, reload and stop, with every Python from 3.10 that is found'
	@echo 'make bench  measure mailworker against nginx, about fourteen minutes'
	@echo 'make lint   check style, types, import layers, sizes and names'
	@echo 'make type   check types only'
	@echo 'make docs   the documentation site, in build/site'
	@echo 'make chaos  ten minutes of logins and relays while workers are killed and peers misbehave, as root; writes docs/figures'
	@echo 'make soak   a million sessions, one in a hundred with a fault; continues a run that was interrupted'
	@echo 'make fuzz   arbitrary bytes for every parser and, by clang with sanitizers, for the C part'
	@echo 'make dist   source archive and wheel in dist/'
	@echo 'make install  install to PREFIX ($(PREFIX)), with the libraries of the system, manual pages, systemd unit and completions'
	@echo 'make uninstall  remove what make install has installed, except the configuration'
	@echo 'make deb    a package for the Debian release of this machine, in dist/'
	@echo 'make check-dist  check source archive and wheel with twine, check-wheel-contents and pyroma'
	@echo 'make check-packages  install each package in a minimal Debian system, fetch and send mail; as root, a quarter of an hour'
	@echo 'make check-page  check the status page in headless Chromium with axe-core, which npm fetches; screenshots in build/page'
	@echo 'make clean  remove all files that make has created'

run: $(VENV)/.demo
	@echo 'Starting a demo mailbox, and mailworker in front of it...'
	@$(BIN)/python -m mailworker.demo

run-auth-http: $(VENV)/.demo
	@echo 'Starting a demo mailbox, an auth service, and mailworker in front of them...'
	@$(BIN)/python -m mailworker.demo -c conf/mailworker.auth_http.conf

test: $(VENV)/.test
	$(BIN)/python -m $(PYTEST) --numprocesses auto

pure: $(VENV)/.test
	MAILWORKER_PURE=1 $(BIN)/python -m $(PYTEST) --numprocesses auto tests/event tests/mail

smoke: $(VENV)/.test $(VENV)/.dist
	$(BIN)/python -m tests.long.smoke

bench: $(VENV)/.test
	$(BIN)/python -m bench --json bench/results.json
	$(BIN)/python -m bench.report
	$(BIN)/python -m bench.capacity

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.budget
	$(BIN)/python -m tests.support.rules

type: $(VENV)/.lint
	$(BIN)/mypy

# For NO_MKDOCS_2_WARNING see docs/decisions/0036-documentation.md.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'The site is in build/site; open build/site/index.html. Its search needs a server: $(BIN)/mkdocs serve'

chaos: $(VENV)/.test
	$(BIN)/python -m tests.long.chaos --json docs/figures/chaos.json
	$(BIN)/python -m tests.long.document

soak: $(VENV)/.test
	$(BIN)/python -m tests.long.soak --json docs/figures/soak.json
	$(BIN)/python -m tests.long.document

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m fuzz --json docs/figures/fuzz.json
	$(BIN)/python -m tests.long.document

dist: $(VENV)/.dist
	$(BIN)/python -m build

include install/install.mk

# The package is built from the source archive, so that it contains no files of this folder that are not in the archive.
deb:
	@command -v dpkg-buildpackage >/dev/null || \
		{ echo 'Missing: dpkg-buildpackage; apt install build-essential, then apt build-dep ./' >&2; exit 1; }
	rm -rf build/deb
	$(PYTHON) setup.py --quiet sdist --formats=tar --dist-dir build/deb
	tar --extract --file build/deb/*.tar --directory build/deb
	cd build/deb/mailworker*/ && dpkg-buildpackage --build=binary --no-sign
	mkdir -p dist
	cp build/deb/*.deb dist/

# These variables are set when a release is built, see setup.py.
check-dist: export MAILWORKER_REPOSITORY ?= https://forge.example/mailworker/mailworker
check-dist: export MAILWORKER_EMAIL ?= mailworker@forge.example
check-dist: $(VENV)/.dist
	rm -rf build/check-dist
	$(BIN)/python -m build --outdir build/check-dist
	$(BIN)/twine check --strict build/check-dist/*
	$(BIN)/check-wheel-contents build/check-dist/*.whl
	$(BIN)/pyroma --min 10 .

check-packages: $(VENV)/.test $(VENV)/.dist
	$(BIN)/python -m tests.long.packages

check-page: $(VENV)/.test
	$(BIN)/python -m tests.long.page

clean:
	rm -rf $(VENV) .run build dist *.egg-info .*_cache .hypothesis
	rm -f mailworker/native/*/*.so
	find mailworker tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each extra has a stamp with the time of its installation; it is installed again if the native part or the dependencies
# change.
$(VENV)/.demo $(VENV)/.test $(VENV)/.docs $(VENV)/.fuzz $(VENV)/.dist: $(VENV)/.%: $(VENV)/.created setup.py pyproject.toml $(NATIVE)
	@echo 'Building mailworker and installing its dependencies into $(VENV), which takes a minute...'
	$(INSTALL)
	@touch $@

# mypy needs the packages that the tests import.
$(VENV)/.lint: EXTRAS = lint,test
$(VENV)/.lint: $(VENV)/.created setup.py pyproject.toml $(NATIVE)
	$(INSTALL)
	@touch $@

# For continuous integration: one installation instead of four, each of which would build the native part.
everything: EXTRAS = lint,test,docs,dist
everything: $(VENV)/.created
	$(INSTALL)
	@touch $(addprefix $(VENV)/.,lint test docs dist)

$(VENV)/.created:
	@PYTHON='$(PYTHON)' .ci/prerequisites
	@echo 'Creating a virtual environment in $(VENV)...'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

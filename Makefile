# The one list of commands. `make run` and `make test` need nothing but Python: they make a virtual environment,
# build the native part and install what is missing.

PYTHON ?= python3
VENV ?= .venv
# The module that runs the tests; CI has tests.support.again.
PYTEST ?= pytest

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Installs us with the extras of a stamp, or with $(EXTRAS). What builds us is installed here, as pip takes longer to make
# an environment of its own for that. And pip would make bytecode by one processor, of the tests of each package, too.
# Our own bytecode is made here because the program makes none, and a test may start it ten times.
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
	@echo 'make run    try it: demo mailbox, master and workers, until Ctrl-C'
	@echo 'make run-auth-http  the same with an HTTP service that decides about logins'
	@echo 'make test   all tests'
	@echo 'make pure   the tests of the event core and of sessions without its C, about a minute'
	@echo 'make smoke  install and serve with every Python that is here'
	@echo 'make bench  duels with nginx, about fourteen minutes'
	@echo 'make lint   style, types, import layers, sizes, names'
	@echo 'make type   types alone'
	@echo 'make docs   the documentation site, in build/site'
	@echo 'make chaos  ten minutes of logins and relays while workers are killed and peers misbehave; figures go to docs/figures'
	@echo 'make soak   a million sessions, one in a hundred with a fault; goes on where it was broken off'
	@echo 'make fuzz   arbitrary bytes for every parser and for the C part, under sanitizers'
	@echo 'make dist   source archive and wheel in dist/'
	@echo 'make install  to PREFIX ($(PREFIX)), with libraries of the system: manual pages, unit, completions and all'
	@echo 'make uninstall  what that has installed, but for the configuration'
	@echo 'make deb    a package for the Debian that this is, in dist/'
	@echo 'make check-dist  what is said of the source archive and the wheel by tools of the field'
	@echo 'make check-packages  from each package to mail that was fetched and sent, in bare roots; as root, minutes'
	@echo 'make check-page  the status page in headless Chromium, checked by axe-core, which npm fetches; screenshots in build/page'
	@echo 'make clean  remove all that make has made'

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

# What its generator prints about its own future is in docs/decisions/0036-documentation.md.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'The site is in build/site; open build/site/index.html. Its search wants a server: $(BIN)/mkdocs serve'

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

# Made from the source archive, so that no file of this folder gets in that others would not have.
deb:
	@command -v dpkg-buildpackage >/dev/null || \
		{ echo 'Missing: dpkg-buildpackage; apt install build-essential, then apt build-dep ./' >&2; exit 1; }
	rm -rf build/deb
	$(PYTHON) setup.py --quiet sdist --formats=tar --dist-dir build/deb
	tar --extract --file build/deb/*.tar --directory build/deb
	cd build/deb/mailworker*/ && dpkg-buildpackage --build=binary --no-sign
	mkdir -p dist
	cp build/deb/*.deb dist/

# As a release is made, whose builder says where it is published.
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

# One stamp per extra says when it was installed; a change of the native part or of the dependencies installs it again.
$(VENV)/.demo $(VENV)/.test $(VENV)/.docs $(VENV)/.fuzz $(VENV)/.dist: $(VENV)/.%: $(VENV)/.created setup.py pyproject.toml $(NATIVE)
	@echo 'Building mailworker and installing what it needs into $(VENV), which takes a minute...'
	$(INSTALL)
	@touch $@

# Types of the tests need what the tests need.
$(VENV)/.lint: EXTRAS = lint,test
$(VENV)/.lint: $(VENV)/.created setup.py pyproject.toml $(NATIVE)
	$(INSTALL)
	@touch $@

# For continuous integration: one installation in the place of four, each of which builds the native part.
everything: EXTRAS = lint,test,docs,dist
everything: $(VENV)/.created
	$(INSTALL)
	@touch $(addprefix $(VENV)/.,lint test docs dist)

$(VENV)/.created:
	@PYTHON='$(PYTHON)' .ci/prerequisites
	@echo 'Making a virtual environment in $(VENV)...'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

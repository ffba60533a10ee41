# `make install`, for people and for packages: with the libraries of the system, so that its updates reach them.

# Where `make install` puts things; all below DESTDIR, for packages.
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
SYSCONFDIR ?= /etc
LOGDIR ?= /var/log/mailworker
RUNDIR ?= /run/mailworker
UNITDIR ?= $(LIBDIR)/systemd/system
# Who workers are.
WORKER ?= mailworker
ZSHDIR ?= $(DATADIR)/zsh/site-functions
# Empty: leave no bytecode, as packages make it where they are installed.
BYTECODE ?= yes


HOME_OF_PROGRAM = $(LIBDIR)/mailworker
PROGRAMS := $(notdir $(wildcard bin/*))
# Whoever may connect to the control socket may run it.
FOR_USERS := mailworker-top
DEBIAN_LIBRARIES := python3-cffi python3-cryptography python3-daemon python3-markdown-it python3-openssl \
	python3-prometheus-client python3-psutil python3-setproctitle python3-setuptools

libraries:
	@$(PYTHON) -c 'import cffi, cryptography, daemon, markdown_it, OpenSSL, prometheus_client, psutil, setproctitle, setuptools' || \
		{ echo 'Please install what is missing; Debian: apt install $(DEBIAN_LIBRARIES)' >&2; exit 1; }

man: libraries
	$(PYTHON) -m install.man build/man

# The program has a folder of its own, as it is no library; `mailworker/paths.py` says where it finds things.
install: man
	$(PYTHON) setup.py --quiet build --build-base build/install --build-lib build/install/lib
	install -d $(addprefix $(DESTDIR),$(HOME_OF_PROGRAM)/bin $(SBINDIR) $(BINDIR) $(SYSCONFDIR)/mailworker $(UNITDIR) $(LOGDIR) \
		$(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man8 $(SYSCONFDIR)/logrotate.d $(DATADIR)/bash-completion/completions \
		$(ZSHDIR) $(DATADIR)/fish/vendor_completions.d $(DATADIR)/mailworker)
	rm -rf $(DESTDIR)$(HOME_OF_PROGRAM)/mailworker
	cp -R build/install/lib/mailworker $(DESTDIR)$(HOME_OF_PROGRAM)/
	cd $(DESTDIR)$(HOME_OF_PROGRAM)/mailworker && rm -rf demo native/build.py native/*/*.pyi
	find $(DESTDIR)$(HOME_OF_PROGRAM) -name __pycache__ -type d -prune -exec rm -rf {} +
	$(MAKE) --no-print-directory install-paths
	for program in $(PROGRAMS); do \
		sed "1s#.*#\#!$$(command -v $(PYTHON))#" bin/$$program >$(DESTDIR)$(HOME_OF_PROGRAM)/bin/$$program; \
		chmod 755 $(DESTDIR)$(HOME_OF_PROGRAM)/bin/$$program; \
		case $$program in $(FOR_USERS)) folder=$(BINDIR) ;; *) folder=$(SBINDIR) ;; esac; \
		ln -sfn $(HOME_OF_PROGRAM)/bin/$$program $(DESTDIR)$$folder/$$program; done
	$(if $(BYTECODE),$(PYTHON) -m compileall -q -s '$(DESTDIR)' $(DESTDIR)$(HOME_OF_PROGRAM)/mailworker)
	chmod -R u=rwX,go=rX $(DESTDIR)$(HOME_OF_PROGRAM)
	install -m 644 build/man/*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 build/man/*.5 $(DESTDIR)$(MANDIR)/man5
	install -m 644 build/man/*.8 $(DESTDIR)$(MANDIR)/man8
	[ -e $(DESTDIR)$(SYSCONFDIR)/mailworker/mailworker.conf ] || \
		install -m 644 install/mailworker.conf $(DESTDIR)$(SYSCONFDIR)/mailworker/mailworker.conf
	sed -e '/^# systemd unit/,/^$$/d' -e 's#/opt/mailworker/bin/mailworker#$(SBINDIR)/mailworker#' \
		-e 's#^Documentation=.*#Documentation=man:mailworker(8) man:mailworker.conf(5)#' \
		conf/mailworker.service >$(DESTDIR)$(UNITDIR)/mailworker.service
	chmod 644 $(DESTDIR)$(UNITDIR)/mailworker.service
	install -m 644 install/logrotate $(DESTDIR)$(SYSCONFDIR)/logrotate.d/mailworker
	install -m 644 install/completion/mailworker.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/mailworker
	for program in $(filter-out mailworker,$(PROGRAMS)); do \
		ln -sfn mailworker $(DESTDIR)$(DATADIR)/bash-completion/completions/$$program; done
	install -m 644 install/completion/_mailworker $(DESTDIR)$(ZSHDIR)/_mailworker
	install -m 644 install/completion/mailworker.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/mailworker.fish
	install -m 644 install/one-server.conf conf/mailworker.full.conf conf/mailworker.socket conf/mailworker.rules.yml \
		conf/mailworker.grafana.json $(DESTDIR)$(DATADIR)/mailworker
	cp -R conf/fail2ban conf/crowdsec $(DESTDIR)$(DATADIR)/mailworker
	chmod -R u=rwX,go=rX $(DESTDIR)$(DATADIR)/mailworker/fail2ban $(DESTDIR)$(DATADIR)/mailworker/crowdsec

# What only the installed program knows: where all is found that no switch and no directive names.
install-paths:
	install -d $(DESTDIR)$(HOME_OF_PROGRAM)/mailworker
	sed -e 's#^\(PREFIX: .* = \).*#\1"$(DATADIR)/mailworker"#' \
		-e 's#^\(CONFIGURATION: .* = \).*#\1"$(SYSCONFDIR)/mailworker/mailworker.conf"#' \
		-e 's#^\(ERROR_LOG: .* = \).*#\1"$(LOGDIR)/error.log"#' \
		-e 's#^\(PID: .* = \).*#\1"$(RUNDIR)/mailworker.pid"#' \
		-e 's#^\(LOCK: .* = \).*#\1"$(RUNDIR)/mailworker.lock"#' \
		-e 's#^\(USER: .* = \).*#\1"$(WORKER)"#' \
		-e 's#^\(GROUPS: .* = \).*#\1("$(WORKER)",)#' \
		mailworker/paths.py >$(DESTDIR)$(HOME_OF_PROGRAM)/mailworker/paths.py

uninstall:
	rm -rf $(DESTDIR)$(HOME_OF_PROGRAM) $(DESTDIR)$(DATADIR)/mailworker $(DESTDIR)$(UNITDIR)/mailworker.service
	rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,$(PROGRAMS)) $(addprefix $(DESTDIR)$(BINDIR)/,$(FOR_USERS))
	rm -f $(DESTDIR)$(MANDIR)/man1/mailworker-top.1 $(DESTDIR)$(MANDIR)/man5/mailworker.conf.5 $(DESTDIR)$(MANDIR)/man8/mailworker.8 \
		$(DESTDIR)$(MANDIR)/man8/mailworker-*.8 $(DESTDIR)$(SYSCONFDIR)/logrotate.d/mailworker
	rm -f $(addprefix $(DESTDIR)$(DATADIR)/bash-completion/completions/,$(PROGRAMS)) \
		$(DESTDIR)$(ZSHDIR)/_mailworker \
		$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/mailworker.fish

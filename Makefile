# Two commands from a fresh machine with Python 3.11+ and make:
#   make demo    draw a sample collection, clean it through the Prefect flow on a local Ray, print the closing table
#   make test    lint, format check, types, tests
# Both make the virtual environment from constraints.txt first; it is made anew only when the lists of packages change.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The files of tests go to two processes: while one waits for Ray, the other computes. Each may have a Ray of its own,
# which takes memory, so there are no more. The order is that of tests/conftest.py.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types bench gpu chaos mutation clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## the virtual environment, with everything that the tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "demoire needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || { echo "making the virtual environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the packages of constraints.txt (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## draw a sample collection, clean it, and show what came of it
	@$(BIN)/demoire demo --out $(DEMO)

test: $(STAMP)  ## lint, format check, types and all tests; PYTEST_ARGS="-n 0" for one file after the other
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=20 --durations-min=5 $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy alone
	$(BIN)/mypy

bench: $(STAMP)  ## how fast this machine is, stage by stage
	$(BIN)/demoire bench --json

gpu: $(STAMP)  ## what a GPU is for, in at most 13 minutes: its tests, the bench, and training on IMAGES=CLEAN
	@test -n "$(IMAGES)$(PACK)" || { echo "make gpu trains on clean images: say which with make gpu IMAGES=CLEAN" >&2; exit 2; }
	$(BIN)/python -m tests.benchmarks.gpu $(if $(PACK),--pack $(PACK),--images $(IMAGES)) --out $(or $(OUT),runs/gpu) $(GPU_ARGS)

chaos: $(STAMP)  ## kills, a stumbling bucket and hostile files by the thousand (an hour); CHAOS_ARGS="--kills 10" for less
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

mutation: $(STAMP)  ## change lines at random and see whether a test notices (an hour); then: mutmut results
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mutation]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

clean:  ## remove the demo's output and the caches, keep the environment
	rm -rf $(DEMO) build mutants .pytest_cache .mypy_cache .ruff_cache

# Each target sets up what it needs: a virtual environment in .venv, everything from PyPI at the versions of constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
TESTS ?= tests
JOBS ?= 2
export TULLE_SHARED ?= $(abspath ../shared)

.PHONY: setup demo test unit lint bench clean

setup: .venv/.done

.venv/.done: pyproject.toml setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found: install Python 3.11 or newer, or say make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up .venv (once, about half a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

demo: setup
	@$(BIN)/tulle demo $(ARGS)

# Two at a time: e2e tests wait more than they work. JOBS=0: one after the other.
test: setup
	$(BIN)/pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder $(TESTS)

unit: setup
	$(BIN)/pytest tests/unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tulle.load.peers $(ARGS)

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

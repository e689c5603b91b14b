# Every command that a contributor needs. The targets first install their requirements into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --quiet

.PHONY: help demo test check docs pictures bench bench-smoke test-compose clean
.DELETE_ON_ERROR:

help:
	@echo "make demo          run task-sets on simulated boards; results in demo/"
	@echo "make test          run ruff, mypy and all tests except those of Docker Compose"
	@echo "make check         run only ruff and mypy"
	@echo "make docs          build the documentation as a site in site/"
	@echo "make pictures      run campaigns on simulated boards, and draw the pictures of the documentation"
	@echo "make bench         measure for half an hour, and write docs/performance.md"
	@echo "make bench-smoke   measure for two minutes; fails if a result is below half of its target"
	@echo "make test-compose  test the services with Docker Compose; needs a Docker engine"
	@echo "make clean         remove the virtual environment, caches and the demo's results"

demo: $(VENV)/.package
	@$(BIN)/taskgen demo

test: check
	@$(BIN)/python -m pytest -m "not compose" --numprocesses 2 --dist worksteal

check: $(VENV)/.dev
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "make: not formatted; run $(BIN)/ruff format"; exit 1; }
	@$(BIN)/mypy

docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

pictures: $(VENV)/.package
	@$(BIN)/python docs/pictures/make.py
	@echo "make: drew $$(echo docs/pictures/*.svg)"

bench: $(VENV)/.bench
	@$(BIN)/python -m tests.bench

bench-smoke: $(VENV)/.dev
	@$(BIN)/python -m tests.bench --smoke

test-compose: $(VENV)/.dev
	@$(BIN)/python -m pytest -m compose tests/e2e

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo site build dist
	@find shared services docs tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is newer than pyproject.toml once its requirements are installed.
$(VENV)/.package: pyproject.toml | $(VENV)/.made
	@echo "make: installing into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.made
	@echo "make: installing into $(VENV), with what the documentation needs"
	@$(PIP) --editable '.[docs]'
	@touch $@ $(VENV)/.package

$(VENV)/.bench: pyproject.toml | $(VENV)/.made
	@echo "make: installing into $(VENV), with what the benchmarks need"
	@$(PIP) --editable '.[bench]'
	@touch $@ $(VENV)/.package

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	@echo "make: installing into $(VENV), with what the tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.package $(VENV)/.docs

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || \
	    { echo "make: $(PYTHON) was not found; install Debian's packages python3 and python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: $(PYTHON) is older than 3.11; install Debian's packages python3.11 and python3.11-venv," \
	        "then run make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "make: $(PYTHON) has no module venv; install Debian's package" \
	        "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

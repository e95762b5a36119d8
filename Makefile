# make run    environment, installation, the quick profile, and where the report is
# make test   environment, ruff, mypy, the import graph, pytest in WORKERS=4 processes
# make bench  every benchmark, with one table at the end
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= quick
DATASET ?= chestxray
OUT ?= runs/$(DATASET)-$(PROFILE)
BENCH ?=
# Tests wait for processes that they start: two share a core of a machine with two.
WORKERS ?= 4

.PHONY: run test bench lint types imports clean help

help:
	@sed -n '1,3p' Makefile

$(VENV)/.installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about three minutes, torch is large"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about three minutes, torch is large"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(VENV)/.installed $@

run: $(VENV)/.installed
	$(BIN)/compare run --dataset $(DATASET) --profile $(PROFILE) --out $(OUT)

lint: $(VENV)/.installed-dev types imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The type checker finds the folders under their import name through a link (docs/adr/0012).
types: $(VENV)/.installed-dev
	mkdir -p .mypy_layout && ln -sfn .. .mypy_layout/he_compare
	MYPYPATH=.mypy_layout $(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/python -m tools.imports

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_layout .mypy_cache .ruff_cache .pytest_cache

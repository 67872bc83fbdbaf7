# Everything a person types. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Jobs start in half the time with compiled bytecode; an environment may forbid it (empty: unset).
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help report test lint format lock schemas bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: $(STAMP) ## Set up, run the pipeline on the rendered default data, say where the report is
	@snakemake --cores all
	@echo "The report: $(CURDIR)/report/index.html"

test: $(STAMP) ## Set up, then lint, types and tests
	@$(MAKE) --no-print-directory lint
	pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## Check format, lint and types
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(STAMP) ## Format Python and Snakemake files, mend what lint can mend
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

lock: $(VENV)/.uv ## Resolve requirements.lock anew from pyproject.toml
	uv pip compile --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --upgrade -o requirements.lock pyproject.toml

schemas: $(STAMP) ## Write workflow/schemas from the typed configuration
	reid-repro schemas

bench: $(STAMP) ## Measure retrieval beside its peers (an hour on two cores) and write docs/benchmarks.md
	python benchmarks/retrieval_peers.py
	for size in market glad wild; do python benchmarks/retrieval.py --size $$size --resume || exit 1; done
	python benchmarks/retrieval.py --render

clean: ## Remove the environment, the results that are not in git, and the built pages
	rm -rf $(VENV) .snakemake logs report/index.html report/papers report/assets
	rm -rf results/data results/models results/features results/rankings results/figures \
	  results/benchmarks results/checkpoints

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# What jobs import is compiled to bytecode here, once; else the first jobs do so, each for itself.
JOBS := import reid_repro.training.loop, reid_repro.phases.detectors, reid_repro.phases.measures; \
  import reid_repro.phases.figures, reid_repro.phases.metrics, reid_repro.cli, snakemake.cli

# Exactly what the lock file says, checked by hash, then the package itself, editable.
$(STAMP): requirements.lock pyproject.toml $(VENV)/.uv
	uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c '$(JOBS)'
	@touch $@

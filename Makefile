# What a developer runs. Every target makes what it needs; nothing has to be set up before.
#   make demo    LeNet-5 learns to read handwriting; prints the path of its page
#   make test    the fast suite (make test-all: with the slow tests)
#   make lint    format, lint, types, import contracts, spelling
#   make docs    the site, with one generated page a network

VENV ?= .venv
RUN := $(VENV)/bin
# the newest of the Pythons that are there, 3.11 at least
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && command -v $$p && break; done)
PIP := $(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format docs clean

help:
	@sed -n '2,5s/^#   //p' Makefile

$(RUN)/python:
	@test -n "$(PYTHON)" || { echo 'make: no Python of 3.11 or newer with venv was found; give one: make PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp a set of packages: installed again only when what it names has changed.
$(VENV)/.torch: pyproject.toml constraints.txt | $(RUN)/python
	$(PIP) --editable '.[torch]'
	@$(RUN)/python -m compileall -q convatlas  # as pip does for a package that is not editable
	@touch $@

$(VENV)/.test: $(VENV)/.torch requirements/peers.txt requirements/peers-without-dependencies.txt
	$(PIP) --editable '.[test,oracle]' --requirement requirements/peers.txt
	$(PIP) --no-deps --requirement requirements/peers-without-dependencies.txt
	@touch $@

$(VENV)/.lint: $(VENV)/.torch
	$(PIP) --editable '.[test,lint]'
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(RUN)/python
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/.torch
	@rm -rf runs/demo
	$(RUN)/convatlas train lenet5 --out runs/demo
	$(RUN)/convatlas evaluate runs/demo
	@echo
	@echo 'The page of pictures:'
	@echo '$(CURDIR)/runs/demo/report.html'

test: $(VENV)/.test
	$(RUN)/python -m pytest $(ARGS)

test-all: $(VENV)/.test
	HYPOTHESIS_PROFILE=nightly $(RUN)/python -m pytest -m '' $(ARGS)

lint: $(VENV)/.lint
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/codespell

format: $(VENV)/.lint
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

docs: $(VENV)/.docs
	$(RUN)/python docs/generate.py
	$(RUN)/mkdocs build --strict

clean:
	rm -rf build dist site runs/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

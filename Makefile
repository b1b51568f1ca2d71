# Everything on one machine. `make` lists the targets; each sets up what it needs first.
PYTHON ?= python3
PYTEST_ARGS ?= -n 6 --dist worksteal
RUN = .venv/bin/python

.PHONY: help setup run demo test lint fakes docs bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

setup: ## install what is needed, into .venv and .local
	@$(PYTHON) local/setup.py

demo: setup ## see the whole integration work, with fakes; KEEP=1 leaves it running
	@$(RUN) -m local.demo $(if $(KEEP),--keep)

run: setup ## run the function app
	@$(RUN) -m local.host

fakes: setup ## run the fakes of Acumatica and Microsoft Graph
	@$(RUN) -m local.fakes

test: setup ## run all tests
	@$(RUN) -m pytest $(PYTEST_ARGS)

bench: setup ## measure how fast the app is, and what a row costs (at most 5 minutes)
	@$(RUN) -m local.bench $(BENCH_ARGS)

lint: setup ## check style and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

docs: setup ## write the documentation's previews, and the mapping file's JSON Schema
	@$(RUN) -m local.docs

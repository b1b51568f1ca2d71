# Everything on one machine. `make` lists the targets; each sets up what it needs first.
PYTHON ?= python3
PYTEST_ARGS ?= -n 6 --dist worksteal
RUN = .venv/bin/python

.PHONY: help setup run demo test lint fakes bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

setup: ## install what is needed, into .venv and .local
	@$(PYTHON) local/setup.py

demo: setup ## see the whole integration work, with stand-ins for Acumatica and Outlook
	@$(RUN) -m local.demo

run: setup ## run the function app
	@$(RUN) -m local.host

fakes: setup ## run the stand-ins for Acumatica and Microsoft Graph
	@$(RUN) -m local.fakes

test: setup ## run all tests
	@$(RUN) -m pytest $(PYTEST_ARGS)

bench: setup ## measure how fast the app is, and what a row costs (5 minutes)
	@$(RUN) -m local.bench $(BENCH_ARGS)

lint: setup ## check style and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

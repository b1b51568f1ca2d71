# Everything on one machine. `make` lists the targets; each sets up what it needs first.
PYTHON ?= python3
PYTEST_ARGS ?= -n 6 --dist worksteal
RUN = .venv/bin/python
# Tests start many processes: each file is compiled once, whatever the surroundings say.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup tools run demo test lint fakes docs bench requirements

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what is needed to run, into .venv and .local
	@$(PYTHON) local/setup.py

tools: ## install what tests and linting need, too
	@$(PYTHON) local/setup.py --dev

demo: setup ## see the whole integration work, with fakes; KEEP=1 leaves it running
	@$(RUN) -m local.demo $(if $(KEEP),--keep)

run: setup ## run the function app
	@$(RUN) -m local.host

fakes: setup ## run the fakes of Acumatica and Microsoft Graph
	@$(RUN) -m local.fakes

test: tools ## run the tests; TOOLS=1 adds those of local/, which run by themselves when it changed
	@$(RUN) -m pytest $(PYTEST_ARGS) $(if $(TOOLS),--tools)

bench: setup ## measure how fast the app is, and what a row costs (at most 5 minutes)
	@$(RUN) -m local.bench $(BENCH_ARGS)

lint: tools ## check style, types and who imports whom
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy
	@.venv/bin/lint-imports --no-logo

docs: setup ## write the documentation's previews, and the mapping file's JSON Schema
	@$(RUN) -m local.docs

requirements: setup ## pin packages with hashes, from the .in files; UPGRADE=1 takes the newest
	@$(RUN) -m local.requirements $(if $(UPGRADE),--upgrade)

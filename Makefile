# `make` lists the targets. Everything they need they install into .venv; only python3 >= 3.11 is asked for.
.DEFAULT_GOAL := help
SHELL := /bin/sh
# Without compiled files each process that the tests start compiles its modules anew: most of what it takes.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
PYTEST := $(BIN)/pytest
NAME ?=
ENGINE ?=
ARGS ?=
PARTS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install everything that running needs into .venv
	@scripts/setup.sh runtime

setup-dev:
	@scripts/setup.sh dev

demo: setup ## one task, then all six with two simulated models: no key, no Docker
	@$(BIN)/synth-bench demo

test: setup-dev ## set up what the tests need, and run them all
	@scripts/test.sh $(ARGS)

check: setup-dev ## lint, types, boundaries, dependencies, contract
	@scripts/check.sh

fmt: setup-dev ## format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only . ; $(BIN)/ruff format --quiet . ; cd proto && ../$(BIN)/buf format -w

bench: setup-dev ## run the benches (NAME=sandbox for one, QUICK=1 for a small form)
	@$(BIN)/python -m tests.bench $(NAME)

docs: setup-dev ## write docs/asyncapi.json and deploy/compose/nats.conf from the registry of events
	@$(BIN)/python scripts/asyncapi.py
	@$(BIN)/python scripts/compose_files.py

test-full: setup-dev ## the full forms of all tests: hours (PARTS="chaos kills" for some, FULL_MINUTES=1 for short ones)
	@ENGINE=$(ENGINE) SWE_AGENT=$(SWE_AGENT) scripts/test_full.sh $(PARTS)

test-kills: setup-dev ## kill everything at every point, one by one (half an hour; ENGINE=docker for containers)
	@ENGINE=$(ENGINE) scripts/test_full.sh kills

test-agents: setup-dev ## the real agents, all their ends (SWE_AGENT=checkout for SWE-agent, which is on no index)
	@SWE_AGENT=$(SWE_AGENT) scripts/test_full.sh agents

test-compose: setup-dev ## docker-compose.yml, up to a curated trajectory and down again
	@scripts/test_compose.sh

test-containers: setup-dev ## the suites that need servers, against containers
	@scripts/test_containers.sh $(ARGS)

compose-env: setup ## write .env with fresh secrets for docker compose
	@$(BIN)/python scripts/compose_files.py --env

images: ## build the base images of sandboxes (ARGS="python node" for some)
	@scripts/images.sh $(ARGS)

lock: setup-dev ## pin the dependencies anew (ARGS=--upgrade for newer ones)
	@$(BIN)/python scripts/lock.py $(ARGS)

proto-baseline: setup-dev ## release the contract: from now on only additions
	@rm -rf proto/baseline/synthbench && cp -R proto/synthbench proto/baseline/synthbench

up: setup ## start the embedded stack and leave it running
	@$(BIN)/synth-bench up

down: setup ## stop the embedded stack when its work is done
	@$(BIN)/synth-bench down

clean: ## remove what was built and installed here (the data folder stays)
	@rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: images test-full test-agents test-kills test-compose compose-env help setup setup-dev demo test check fmt bench docs lock proto-baseline up down clean

# Everything a newcomer needs: `make run` and `make test` set up by themselves.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# pip compiles one file after the other; by all cores at once it takes half the time.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
# Has the CPU build of torch. Where it cannot be reached, pip takes the wheel from its --find-links, if it is there.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTEST := $(BIN)/python -m pytest
PEERS  := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
PEERS_FILES := aiops_assets_tests/benchmarks/peers

.DEFAULT_GOAL := help
.PHONY: help setup lock run ui serve test test-changed test-long bench evaluate peers forecasts exhaustion deploy-check \
	lint types docs clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with everything in it (pip, aiops, dagster)

$(STAMP): pyproject.toml requirements.lock torch.lock
	$(PYTHON) -m venv $(VENV)
	$(PIP) --retries 1 --require-hashes --index-url $(TORCH_INDEX) -r torch.lock
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation -e .
	@$(BIN)/python -m pip check || { echo "pyproject.toml wants what the lock does not hold: make lock"; exit 1; }
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@$(BIN)/aiops home > /dev/null
	@touch $@

# What stands in a lock already is kept while it fits; UPGRADE=--upgrade takes the newest of everything.
COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --generate-hashes --no-emit-package torch --no-annotate \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command 'make lock' $(UPGRADE)

$(BIN)/uv:
	$(MAKE) setup

# Not after `setup`, which fails while the lock lacks something.
lock: $(BIN)/uv ## requirements.lock and the image's anew, from pyproject.toml and constraints.txt
	$(COMPILE) --extra dev --extra bench -c constraints.txt -o requirements.lock
	$(COMPILE) --extra train --extra service --extra cluster --extra ui --extra build -c requirements.lock \
	    -o deploy/image/requirements.lock

run: setup ## from metrics to a served model: the whole chain, then a summary
	@$(BIN)/aiops run

ui: setup ## the Dagster UI with history, http://127.0.0.1:3000
	@$(BIN)/aiops ui

serve: setup ## the ML service, http://127.0.0.1:8080 (docs: /docs)
	@$(BIN)/aiops serve

# A worker takes whole files, in the order that conftest.py gives them.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

test: setup ## the quick tests (9 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not long" $(TWO)

test-changed: setup ## what your change can break, the nearest tests first (a minute; BASE=commit to compare with)
	@files=$$($(BIN)/python -m aiops_assets_tests.changed $(BASE)) || exit 1; \
	[ -z "$$files" ] || OMP_NUM_THREADS=1 $(PYTEST) -m "not long" $(TWO) $$files

test-long: setup ## kills, browser, whole deployments, fresh environments, every documented command (half an hour)
	OMP_NUM_THREADS=1 $(PYTEST) -m long $(TWO)

bench: setup ## time limits, as ratios measured in one run (some minutes)
	$(BIN)/python -m aiops_assets_tests.benchmarks

evaluate: setup ## how good the detector is: on 30 generated days, or on labelled series (DATA=folder)
	@$(BIN)/aiops evaluate $(DATA)

# Other detectors' packages pin other versions than the project does: an environment of their own.
$(PEERS_STAMP): $(PEERS_FILES)/requirements.txt $(PEERS_FILES)/constraints.txt
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(PEERS_FILES)/requirements.txt
	@touch $@

peers: setup $(PEERS_STAMP) ## other detectors beside ours on labelled series (DATA=folder; minutes, can be resumed)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.peers $(DATA) --python $(PEERS)/bin/python $(if $(AGAIN),--again)

forecasts: setup ## the forecasters beside the trivial ones (DATA=folder with series/ and forecast_score.py)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.forecasting $(DATA)

exhaustion: setup ## how often the time to exhaustion is right, on simulated leaks and disks (a minute)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.exhaustion

deploy-check: setup ## what deploy/ holds, by the real programs and schemas: kubectl, helm, Kubernetes, Dagster, Prometheus
	$(PYTEST) aiops_assets_tests/deploy

lint: setup ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## types, strict for the whole package
	$(BIN)/mypy

docs: setup ## README names every setting and every command
	$(PYTEST) aiops_assets_tests/test_readme.py -m "not long"

clean: ## remove state and environment
	rm -rf $(VENV) $(PEERS) .deploy-tools .deploy-tools.lock .aiops .mypy_cache .ruff_cache .pytest_cache

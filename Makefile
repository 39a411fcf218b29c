# Everything here runs on a machine that reaches only its package registries.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# Compiling the SDKs' modules anew at every start takes as long as everything else.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

REQUIREMENTS := requirements/uv.txt requirements/platform.txt requirements/localcloud.txt requirements/dev.txt
INSTALLED := $(VENV)/.installed

.PHONY: help up demo down test test-genai bench lint format engine venv requirements

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: engine ## Bring the whole platform up on the local cloud, and leave it running
	$(RUN) -m localcloud up

demo: $(INSTALLED) ## After make up: bring a model from a new project to a prediction in production
	$(RUN) -m localcloud demo

down: $(INSTALLED) ## End the local cloud
	$(RUN) -m localcloud down

test: $(INSTALLED) ## Check format, lint rules and types, and run all tests
	$(MAKE) --no-print-directory -j 2 engine lint
	$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Some gigabytes of packages, which nothing else needs: not a part of make test.
test-genai: $(INSTALLED) ## Run the templates that train with torch, in an environment of their own
	$(RUN) -c 'from localcloud import environments; environments.python("genai")'
	$(RUN) -m pytest tests/genai -n 2 --dist loadfile

bench: engine ## Measure time and memory against a bare Pulumi program
	$(RUN) -m tests.benchmarks

lint: $(INSTALLED) ## Check format, lint rules and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m pyright --pythonpath $(RUN)

format: $(INSTALLED) ## Format the code
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

engine: $(INSTALLED) ## Make the Pulumi engine ready (found, or built once in some minutes)
	$(RUN) -m localcloud.engine >/dev/null

venv: $(INSTALLED) ## Create the Python environment

# The stamp is written last, so that an interrupted installation is done again.
$(INSTALLED): $(REQUIREMENTS) localcloud/authorization/package-lock.json
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  "Python 3.11 or newer is needed, but $(PYTHON) is %d.%d; try: make PYTHON=python3.11" % v[:2])'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(RUN) -m uv pip sync --quiet --python $(RUN) --require-hashes $(REQUIREMENTS)
	$(RUN) -m localcloud install
	touch $@

requirements: $(INSTALLED) ## Pin again what requirements/*.in ask for, with hashes
	for name in uv platform localcloud dev seed pipeline genai; do \
	  $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	    --no-emit-package triton requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	$(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header -c requirements/seed.txt \
	  seed_code/byoc-realtime/build/image/requirements.in \
	  -o seed_code/byoc-realtime/build/image/requirements.txt
	cp requirements/pipeline.txt seed_code/_base/build/requirements/pipeline.txt
	cp requirements/seed.txt seed_code/_base/build/requirements/steps.txt
	cp requirements/genai.txt seed_code/_torch/build/requirements/steps.txt

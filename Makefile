# Two commands for newcomers: `make demo` and `make test`. Both install what is missing.
SHELL := /bin/bash
BIN := .venv/bin
# On two cores, six take 14 minutes; four and eight take longer.
WORKERS ?= 6
SOAK_RUNS ?= 500
SOAK_SEED ?= 1
EXACT_CLUSTERS ?= 300
EXACT_SEED ?= 1
PICTURES_TEST := test_every_picture_is_of_a_page_and_in_the_documentation
SOURCES := accounting ssm hub notebooks_settings legacy tests bench docs migrations

# Tests start hundreds of programs; without kept bytecode, each would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test prepared development hub5 node programs lint types imports compiled tests
.PHONY: cluster cluster-test cluster-programs soak bench lock docs site pictures clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo:  ## the whole way of the numbers, simulated (ARGS=--serve: it stays, with its pages)
	@scripts/venv service
	@scripts/provide prometheus openssl
	@$(BIN)/notebooks-accounting demo $(ARGS)

test: development  ## lint, types, import rules and all tests
	@$(MAKE) --no-print-directory --jobs --output-sync prepared lint types imports compiled
	@$(MAKE) --no-print-directory tests

prepared: development hub5 node programs

development:
	@scripts/venv development

hub5: development
	@scripts/venv hub5

node:
	@scripts/node

programs: node  # after it, as both may call apt-get
	@scripts/provide prometheus victoria-metrics initdb openssl curl restic rclone sftp-server bwrap
	@scripts/provide chromium-headless-shell || scripts/provide chromium

lint:
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

# What tests load is compiled once, and beside the types' check. Otherwise each of the workers, which
# all begin at once, would compile all of it. What cannot be loaded the tests themselves tell.
compiled: development
	@$(BIN)/python -m pytest --collect-only -qq --ignore tests/cluster >/dev/null 2>&1 || true

tests:
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/cluster

cluster-test: prepared cluster-programs  ## the same on a real Kubernetes: charts, hub, accounting
	@scripts/provide buildah mmdebstrap || echo "So the tests that build the images are skipped."
	$(BIN)/pytest -rs -n 3 --dist loadfile --no-loadscope-reorder --timeout 1200 \
	    tests/cluster tests/exactness/test_exact_prometheus3.py

cluster: prepared cluster-programs  ## a real Kubernetes on loopback ports, until Ctrl-C
	@$(BIN)/python -m tests.cluster

cluster-programs: prepared  # 13 minutes of processor time at first; kept in ~/.cache/notebooks-accounting
	@$(BIN)/python -m tests.cluster.programs

soak: prepared  ## kill pushers at random, SOAK_RUNS=500 times (SOAK_SEED=1, SOAK_DATABASE=postgresql, SOAK_OUTLET=storage)
	SOAK_RUNS=$(SOAK_RUNS) SOAK_SEED=$(SOAK_SEED) $(BIN)/pytest tests/delivery/test_crash*.py -s -q

soak-http: prepared  ## attack the service over HTTP for SOAK_SECONDS=60, with honest users beside
	SOAK_SECONDS=$(or $(SOAK_SECONDS),60) $(BIN)/pytest tests/security/test_soak.py -s -q

exact: prepared  ## measure all cases on all engines and schedules, and EXACT_CLUSTERS=300 random clusters (EXACT_SEED=1: from there)
	EXACT_FULL=1 EXACT_CLUSTERS=$(EXACT_CLUSTERS) EXACT_SEED=$(EXACT_SEED) \
	    $(BIN)/pytest tests/exactness -n $(WORKERS) -q

bench: prepared  ## measure speed and memory; writes bench/results
	@$(BIN)/python -m bench

docs: prepared  ## write the generated pages of docs/ anew
	@$(BIN)/python docs/generate.py

site:  ## write the documentation as a site to var/site; on a web server, with a search
	@scripts/venv development
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "var/site/index.html; with the search, which needs a web server: $(BIN)/mkdocs serve"

pictures: prepared  ## take the pictures of docs/ anew, and screenshots of all pages in both themes and all widths
	rm -f docs/pictures/*.png
	ALL_SCREENSHOTS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -q tests/web tests/hub/test_pages.py \
	    tests/hub/test_way.py tests/hub/test_lab_extension.py tests/monitor/test_monitored_hub.py \
	    --deselect tests/web/test_web_pages.py::$(PICTURES_TEST)
	$(BIN)/pytest -q tests/web/test_web_pages.py -k $(PICTURES_TEST)
	@echo "docs/pictures, var/screenshots"

# rfc3987-syntax is left out: jupyter_events wants it for a format of text that none of its schemas has,
# and to load it takes JupyterHub, and each server, 0.9 s of processor time at every start.
LOCKED := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-package rfc3987-syntax --upgrade

lock:  ## pin the dependencies of pyproject.toml anew
	@scripts/venv development
	$(LOCKED) --extra aws --extra login --extra parquet --extra postgres --group build \
	    pyproject.toml -o requirements/service.lock
	$(LOCKED) --all-extras --group build --group test -c requirements/service.lock \
	    pyproject.toml -o requirements/development.lock
	$(LOCKED) requirements/hub5.in -o requirements/hub5.lock
	$(LOCKED) requirements/client.in -o requirements/client.lock
	$(LOCKED) requirements/hub6.in -c requirements/service.lock -o requirements/hub6.lock
	$(LOCKED) requirements/backup.in -c requirements/service.lock -c requirements/hub6.lock \
	    -o requirements/backup.lock

audit: prepared  ## look the locked packages up among known vulnerabilities; says when it cannot
	@scripts/audit

sbom: prepared  ## write what the images are made of (CycloneDX) to var/sbom
	@scripts/sbom var/sbom

clean:  ## remove what demo, tests and bench left
	rm -rf demo var .mypy_cache .ruff_cache .pytest_cache .hypothesis

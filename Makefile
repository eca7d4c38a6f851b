# Every target is complete on a machine with only Python 3.11+ and pip: uv is fetched into .tools if it is missing.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
INSTALLED := $(VENV)/.installed
INSTALLED_DOCS := $(VENV)/.installed-docs

.PHONY: demo test test-processes test-integration test-others lint types docs bench bench-quick format clean

demo: $(INSTALLED)
	$(RUN)/python examples/demo.py

test: $(INSTALLED)
	rm -f .coverage .coverage.*
	$(MAKE) --jobs=3 --keep-going --output-sync=target test-processes test-integration test-others
	$(RUN)/coverage combine -q
	$(RUN)/coverage report

# At once, on two processors: those that start processes mostly wait for them. The last ones take the time that is left.
WITH_PROCESSES := tests/acceptance tests/integration/test_durable_engine.py
OTHERS := tests/unit tests/acceptance/test_store_processes.py tests/acceptance/test_cli_processes.py \
	tests/acceptance/test_process_end.py tests/acceptance/test_signals.py \
	tests/integration/test_docs.py tests/integration/test_statistics_coverage.py
test-processes:
	$(RUN)/coverage run -m pytest -q $(WITH_PROCESSES) $(OTHERS:%=--ignore=%)

test-integration:
	$(RUN)/coverage run -m pytest -q tests/integration $(WITH_PROCESSES:%=--ignore=%) $(OTHERS:%=--ignore=%)

test-others:
	$(RUN)/coverage run -m pytest -q $(OTHERS)

lint: $(INSTALLED)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

format: $(INSTALLED)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .
	$(RUN)/python scripts/settings_tables.py

types: $(INSTALLED)
	$(RUN)/pyright

docs: $(INSTALLED_DOCS)
	$(RUN)/mkdocs build --strict --quiet

bench: $(INSTALLED)
	$(RUN)/python -m benchmarks --markdown docs/benchmarks.md

bench-quick: $(INSTALLED)
	$(RUN)/python -m benchmarks --quick

$(INSTALLED): pyproject.toml constraints.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --group test --group lint --editable .
	touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(UV) pip install --quiet --python $(RUN)/python --constraint constraints.txt --group docs
	touch $@

.tools/uv/bin/uv:
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet uv

clean:
	rm -rf $(VENV) .tools site dist .coverage .coverage.*

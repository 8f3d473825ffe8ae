# Everything starts from nothing: the first target that needs it makes the environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
BARE = $(VENV)-bare
SERVE ?= 1
PORT ?= 8000
PYTEST ?= $(BIN)/python -m pytest -n 2 -q

.PHONY: demo test test-sqlite test-postgres test-bare chaos soak bench check format docs audit clean

demo: $(INSTALLED)
	rm -f var/demo.sqlite3*
	DATABASE_URL=sqlite:///$(CURDIR)/var/demo.sqlite3 $(BIN)/python manage.py demo --port $(PORT) $(if $(filter 0,$(SERVE)),--no-serve)

test: test-sqlite test-postgres

test-sqlite: $(INSTALLED)
	KLAXON_TEST_DB=sqlite $(PYTEST)

test-postgres: $(INSTALLED)
	KLAXON_TEST_DB=postgres $(PYTEST)

# The package without a single extra; tests that need one are deselected.
test-bare: $(BARE)/.installed
	$(BARE)/bin/python -m pytest -n 2 -q -m "not slow"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m django makemigrations --check --dry-run --settings tests.settings
	$(BIN)/python -m django makemigrations --check --dry-run --settings tests.tenant_site.settings
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# Kills, freezes and restarts by the thousand, with a witness outside; FAST=1 for a few minutes.
chaos: $(INSTALLED)
	$(BIN)/python -m tests.chaos $(if $(FAST),--fast)

# One worker for half an hour, through one trouble after the other: does it lose anything, does it grow?
soak: $(INSTALLED)
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),30)

# Side by side with what else does such work: a quarter of an hour on a quiet machine; FAST=1 only shows that it runs.
# It needs smtp-sink, which comes with postfix.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(if $(FAST),--fast)

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Apart from check: it needs data on known vulnerabilities, and says so where that cannot be reached.
audit: $(INSTALLED)
	$(BIN)/bandit -q -r notifications -c pyproject.toml
	@$(BIN)/pip-audit --skip-editable || { \
		echo "The dependency audit did not pass, or its vulnerability data could not be reached: nothing is vouched for."; \
		exit 1; }

clean:
	rm -rf $(VENV) $(BARE) docs/_build dist var .pytest_cache .mypy_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

$(BARE)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

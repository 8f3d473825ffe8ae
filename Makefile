# Everything starts from nothing: the first target that needs it makes the environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
BARE = $(VENV)-bare
DEMO = $(VENV)-demo
SERVE ?= 1
PORT ?= 8000
# Many tests wait for processes, so three run at a time on two cores.
PYTEST ?= $(BIN)/python -m pytest -n 3 --dist worksteal -q

# Without bytecode, each process of the tests would compile the package and the tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-sqlite test-postgres test-bare test-matrix test-newest chaos soak bench mails pages translations check format docs audit clean

# An environment of its own, with only what the demonstration needs.
demo: $(DEMO)/.installed
	@echo "The demonstration starts, with a fresh database in var/demo.sqlite3."
	@rm -f var/demo.sqlite3*
	DATABASE_URL=sqlite:///$(CURDIR)/var/demo.sqlite3 $(DEMO)/bin/python manage.py demo --port $(PORT) $(if $(filter 0,$(SERVE)),--no-serve)

test: test-sqlite test-postgres

test-sqlite: $(INSTALLED)
	KLAXON_TEST_DB=sqlite $(PYTEST)

test-postgres: $(INSTALLED)
	KLAXON_TEST_DB=postgres $(PYTEST)

# The package without a single extra: does everything import, and is a missing extra named?
test-bare: $(BARE)/.installed
	$(BARE)/bin/python -m pytest -q --ds=tests.bare.settings tests/bare

# On SQLite, each pair of Python and Django whose interpreter is found.
test-matrix:
	$(PYTHON) -m tests.matrix

# The newest pair, without the slow tests and those that depend on neither Python nor Django: for the gate.
test-newest:
	$(PYTHON) -m tests.matrix --newest --core

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

# Pictures of the emails of the example apps, their contrast, and what parsers, SpamAssassin and caniemail find.
mails: $(INSTALLED)
	$(BIN)/python -m tests.mail.gallery var/mails

# The catalogues of translations, from the sources. It needs gettext.
translations: $(INSTALLED)
	$(BIN)/python -m tests.catalogues

# Pictures of all pages, on a phone and wide, light and dark, in German and Arabic.
pages: $(INSTALLED)
	$(BIN)/python -m tests.browser.gallery var/pages

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
	rm -rf $(VENV) $(BARE) $(DEMO) .venv-3.* docs/_build dist var .pytest_cache .mypy_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

$(BARE)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet --constraint constraints.txt --editable . pytest pytest-django
	@touch $@

$(DEMO)/.installed: pyproject.toml constraints.txt
	@echo "The demonstration needs an environment of its own, with Django and a few small packages. It is made in $(DEMO)."
	$(PYTHON) -m venv $(DEMO)
	@echo "Downloading and installing; the next line is pip's, one for each package."
	$(DEMO)/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[demo]'
	@touch $@

# make run    install atomnb and all that its pages need into .venv, and open its home page (needs only Python 3.11 or newer)
# make test   install what the tests need, a Chromium included, and run them
# make lint   style of code and notebooks
# make clean  remove the virtual environment and caches

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
PROJECT := pyproject.toml constraints.txt
PYTEST_ARGS ?=

# The first interpreter that is new enough; `make run PYTHON=/path/to/python3.12` chooses another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

.PHONY: run test lint chromium clean
.DELETE_ON_ERROR:

run: $(VENV)/.run-installed
	@$(BIN)/atomnb $(ARGS)

test: $(VENV)/.test-installed chromium
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test-installed
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	files="$$(find notebooks dashboards -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')"; \
	if [ -n "$$files" ]; then $(BIN)/nbstripout --verify $$files || status=1; fi; \
	exit $$status

# The pages are tested in a real browser: the system's; else Debian's package; else Playwright's own download.
chromium: $(VENV)/.test-installed
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y chromium; } || \
	$(BIN)/playwright install chromium

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "atomnb needs Python 3.11 or newer: install it, or name it with PYTHON=..." >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
	  rm -rf $(VENV); exit 1; }

$(VENV)/.run-installed: $(PROJECT) | $(BIN)/python
	@echo "Installing atomnb into $(VENV); the first time takes a few minutes ..."
	@$(PIP) -e '.[simulate]'
	@touch $@

$(VENV)/.test-installed: $(PROJECT) | $(BIN)/python
	@echo "Installing atomnb and what its tests need into $(VENV) ..."
	@$(PIP) -e '.[all,test]'
	@touch $@ $(VENV)/.run-installed

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache

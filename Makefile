# The environment comes from uv.lock; uv itself is installed into it, nothing outside .venv is touched.
PYTHON ?= python3
ENV := .venv
RUN := $(ENV)/bin

demo: $(ENV)/.ready
	$(RUN)/swarm-tui demo $(ARGS)

test: $(ENV)/.ready
	$(RUN)/pytest $(ARGS)

check: $(ENV)/.ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

$(ENV)/.ready: uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or newer is needed' >&2; \
	    echo 'hint: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	$(PYTHON) -m venv $(ENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	UV_PROJECT_ENVIRONMENT=$(ENV) $(RUN)/uv sync --quiet --frozen
	touch $@

.PHONY: demo test check

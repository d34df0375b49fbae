# The environment comes from uv.lock; uv itself lives in it too, and nothing outside .venv is touched.
PYTHON ?= python3
# Test files that run at a time. Most of a test's time is waiting, so one more than two cores pays.
JOBS ?= 3
ENV := .venv
RUN := $(ENV)/bin
UV := $(ENV)/.tools/bin/uv
# uv trusts the certificates that the machine trusts, as pip does; where the machine has none, uv uses its own.
CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem)

demo: $(ENV)/.ready
	$(RUN)/swarm-tui demo $(ARGS)

test: $(ENV)/.ready
	$(RUN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(ENV)/.ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

simulate: $(ENV)/.ready
	$(RUN)/python -m tests.simulated.exploring 0 --count 10000 $(ARGS)

faults: $(ENV)/.ready
	$(RUN)/python -m tests.faults.many_kills $(ARGS)
	$(RUN)/python -m tests.faults.bad_provider
	FAULT_SEEDS=20 $(RUN)/pytest -q tests/faults/test_kill_steered.py
	$(RUN)/python -m tests.faults.each_user

guarantees: $(ENV)/.ready
	$(RUN)/python -m tests.faults.each_user $(ARGS)

bench: $(ENV)/.ready
	$(RUN)/python -m tests.bench $(ONLY) $(ARGS)

docs: $(ENV)/.ready
	$(RUN)/python -m tests.docs

pictures: $(ENV)/.ready
	$(RUN)/python -m tests.tui.pictures $(ARGS)
	$(RUN)/pytest tests/tui/test_pictures.py --snapshot-update

# What is installed follows the lock file: a changed lock syncs again, and what it no longer names is removed.
$(ENV)/.ready: uv.lock pyproject.toml $(UV)
	$(if $(CERTIFICATES),UV_SYSTEM_CERTS=true )UV_PROJECT_ENVIRONMENT=$(ENV) $(UV) sync --quiet --frozen
	@touch $@

# Apart from the packages, so that a sync does not remove it.
$(UV):
	@command -v git >/dev/null || \
	  { echo 'error: git is not installed' >&2; \
	    echo 'hint: install it, for example: sudo apt install git' >&2; exit 2; }
	@command -v $(PYTHON) >/dev/null || \
	  { echo 'error: $(PYTHON) is not installed' >&2; \
	    echo 'hint: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, this is $$($(PYTHON) --version)" >&2; \
	    echo 'hint: name a newer one: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'error: this Python cannot make environments: its venv or ensurepip is missing' >&2; \
	    echo 'hint: on Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 2; }
	@$(PYTHON) -m venv $(ENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --target $(ENV)/.tools 'uv>=0.8'

.PHONY: demo test check simulate faults guarantees bench docs pictures

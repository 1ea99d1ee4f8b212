# What a person types here. Every target sets up what it needs: first the virtual environment by the lock file, then,
# by the program that the target starts, the local cluster's programs (built once a user, kept in ~/.cache).
# Needed beforehand: Linux, make, and Python 3.11 or newer with venv (another than python3: make PYTHON=python3.12 ...).

PYTHON ?= python3
NODES ?= 1
UV_VERSION := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.synced

# Many shells export a KUBECONFIG, and the demo changes a cluster-wide profile: nothing here may see it.
unexport KUBECONFIG
# The environment is .venv, whatever a shell has active.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME UV_PROJECT_ENVIRONMENT UV_PYTHON
# make demo DEMO_KUBECONFIG=F IMAGES=prefix: on another cluster
export DEMO_KUBECONFIG IMAGES

.DELETE_ON_ERROR:
.PHONY: help demo test lint cluster cluster-down cluster-status bench clean

help:
	@echo 'make demo          the main job on a real local cluster, from a fresh clone (root)'
	@echo 'make test          all tests; those of the node where this is root'
	@echo 'make lint          ruff, mypy, import-linter'
	@echo 'make cluster       the local cluster alone, kubeconfig at .devcluster/kubeconfig (NODES=0: no node, no root)'
	@echo 'make cluster-down  takes it down and leaves nothing of it'
	@echo 'make bench         benchmarks'
	@echo 'make clean         cluster-down, and removes everything made in this folder'

demo: $(READY)
	$(BIN)/python -m demo

# The programs first, so that building them is shown; then what can run side by side; then the node's tests, one by one.
# Both runs happen whatever the first one says.
test: $(READY)
	$(BIN)/python -m devcluster build --for-tests
	@failed=0; \
	echo '$(BIN)/python -m pytest -n 2 --dist loadfile -m "not e2e"'; \
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not e2e' || failed=1; \
	echo '$(BIN)/python -m pytest -m e2e'; \
	$(BIN)/python -m pytest -m e2e || failed=1; \
	exit $$failed

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

cluster: $(READY)
	$(BIN)/python -m devcluster up --nodes $(NODES)

cluster-down: $(READY)
	$(BIN)/python -m devcluster down

cluster-status: $(READY)
	$(BIN)/python -m devcluster status

bench: $(READY)
	$(BIN)/python -m benchmarks

clean:
	@if [ -d .devcluster ]; then $(MAKE) --no-print-directory cluster-down; fi
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist reports
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): uv.lock pyproject.toml
	@[ "$$(uname -s)" = Linux ] || { echo "This needs Linux, and here is $$(uname -s): use a Linux machine or virtual machine" >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: install a newer one, or name it: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/uv --version 2>/dev/null | grep -qF 'uv $(UV_VERSION)' || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
	$(BIN)/uv sync --frozen --quiet
	@touch $@

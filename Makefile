# make demo: the main job on a real table.  make test: every test, with all set-up.  make check: the fast inner loop.
# make peers: the other tuners, for benchmarks/search.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := .venv-peers
export MPLBACKEND := Agg
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test servers check fast format peers clean

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

test: $(VENV)/.dev servers check
	$(BIN)/python -m pytest -m slow -n 2 -q

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 -q

# The servers that the ledger is tested on; where they cannot be installed their tests are skipped, and say so.
servers:
	@ls /usr/lib/postgresql/*/bin/initdb /usr/sbin/mariadbd >/dev/null 2>&1 || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql mariadb-server; } >/dev/null 2>&1 || \
	  echo "PostgreSQL and MariaDB could not be installed here: their tests will be skipped"

format: $(VENV)/.dev
	$(BIN)/ruff format src tests examples benchmarks
	$(BIN)/ruff check --fix src tests examples benchmarks

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('staytuned needs Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Try: make PYTHON=python3.11 $(MAKECMDGOALS)')"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing staytuned into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

peers: $(PEERS)/.installed

$(PEERS)/.installed: benchmarks/requirements-peers.txt pyproject.toml
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing the peers into $(PEERS) ..."
	@$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/requirements-peers.txt --editable .
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

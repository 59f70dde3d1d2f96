# Two commands that need nothing but Python: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test bench lint examples clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## Generate the example for all targets, verify it, print the table.
	$(BIN)/seqgen generate examples/mnist_cnn.yaml -o build/mnist_cnn --initialize 0
	$(BIN)/seqgen verify examples/mnist_cnn.yaml

test: $(STAMP)  ## Run all tests.
	$(BIN)/python -m pytest -n 2

bench: $(STAMP)  ## Print the ratios of the benchmarks.
	$(BIN)/python -m tests.benchmarks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet seqgen tests

examples: $(STAMP)  ## Generate the checked-in programs of the examples again.
	$(BIN)/python -m tests.renew

clean:
	rm -rf $(VENV) build dist

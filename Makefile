# Every target sets up what it needs: a virtual environment in .venv, made
# once, and again when what it is made from has changed.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready

.PHONY: help setup train test test-all coverage lint bench bench-gpu kernels \
	clean

# What pytest is to run, for test, test-all and coverage: everything by default.
ARGS ?=

# CUDA's major version, for bench-gpu.
CUDA ?= 12

help:
	@echo 'make train      compare batch and mixture normalization on a few digits'
	@echo 'make test       run the tests'
	@echo 'make test-all   run them on every Python here, oldest and newest NumPy'
	@echo 'make coverage   run them and say which lines and branches they miss'
	@echo 'make lint       check the style'
	@echo 'make bench      measure what the layers cost; make bench-gpu on a GPU'
	@echo 'make kernels    write the table of what the CUDA kernels take'
	@echo 'make setup      only make the virtual environment ($(VENV))'
	@echo 'make clean      remove everything that was made'
	@echo
	@echo 'ARGS=tests/mixture_tests runs these tests only.'
	@echo 'PYTHON=python3.12 makes the virtual environment of another Python.'

setup: $(READY)

# Chainer's source needs pkg_resources to build, which setuptools 82 no longer
# has. Building it beside an older setuptools works with every pip; how to pin
# one in pip's own, isolated build environment differs from version to version.
$(READY): setup.cfg pyproject.toml Makefile
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q 'setuptools>=64,<81' wheel
	$(BIN)/python -m pip install -q --no-build-isolation chainer==7.8.1
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[onnx,plot,test]'
	@touch $@

# Two runs at a time, each on one core.
train: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m train.compare --out result/digits \
		--overwrite --jobs 2 --seeds 0 1 2 3 4 \
		--all '--dataset digits --train-size 150 --batch-size 30 --epoch 20' \
		'batch=--normalizer batch' \
		'mixture=--normalizer mixture --at conv3' \
		'warm=--normalizer mixture --at conv3 --normalizer-options warm_start=True'
	$(BIN)/python -m tools.tabulate result/digits/batch result/digits/mixture \
		result/digits/warm
	$(BIN)/python -m tools.inspect report --out result/digits \
		result/digits/batch/seed-0 result/digits/mixture/seed-0 \
		result/digits/warm/seed-0

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

# Version managers keep Pythons side by side, but not all of them on the path.
test-all: $(READY)
	$(BIN)/python -m pip install -q 'tox>=4'
	for bin in "$$($(BIN)/python -c 'import sys; print(sys.base_prefix)')"/../*/bin; do \
		PATH="$$PATH:$$bin"; done; $(BIN)/python -m tox run -- $(ARGS)

coverage: $(READY)
	$(BIN)/python -m pip install -q 'coverage>=7.10'
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(ARGS)
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

lint: $(READY)
	$(BIN)/python -m flake8

bench: $(READY)
	$(BIN)/python -m tools.benchmark

bench-gpu: $(READY)
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[cuda$(CUDA)]'
	$(BIN)/python -m tools.benchmark --device @cupy:0 \
		--out result/benchmark-gpu

kernels: $(READY)
	$(BIN)/python -m tools.kernel_resources

clean:
	rm -rf $(VENV) build dist mixnorm.egg-info result .coverage* \
		.hypothesis .pytest_cache .tox
	find . -name __pycache__ -prune -exec rm -rf {} +

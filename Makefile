# Every target sets up what it needs: a virtual environment in .venv, made
# once, and again when what it is made from has changed.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready

.PHONY: help setup train test lint bench bench-gpu clean

# CUDA's major version, for bench-gpu.
CUDA ?= 12

help:
	@echo 'make train   train on digits with batch and with mixture normalization'
	@echo 'make test    run the tests'
	@echo 'make lint    check the style'
	@echo 'make bench   measure what the layers cost; make bench-gpu on a GPU'
	@echo 'make setup   only make the virtual environment ($(VENV))'
	@echo 'make clean   remove everything that was made'
	@echo
	@echo 'PYTHON=python3.12 makes the virtual environment of another Python.'

setup: $(READY)

# Chainer's source needs pkg_resources to build, which setuptools 82 no longer
# has. Building it beside an older setuptools works with every pip; how to pin
# one in pip's own, isolated build environment differs from version to version.
$(READY): setup.cfg pyproject.toml Makefile
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q 'setuptools>=64,<81' wheel
	$(BIN)/python -m pip install -q --no-build-isolation chainer==7.8.1
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[plot,test]'
	@touch $@

train: $(READY)
	$(BIN)/python -m train.classifier --dataset digits --normalizer batch \
		--out result/digits-batch --overwrite
	$(BIN)/python -m train.classifier --dataset digits --normalizer mixture \
		--at conv3 --components 3 --em-iterations 2 \
		--out result/digits-mixture --overwrite
	$(BIN)/python -m tools.tabulate result/digits-batch result/digits-mixture

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/python -m flake8

bench: $(READY)
	$(BIN)/python tools/benchmark.py

bench-gpu: $(READY)
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[cuda$(CUDA)]'
	$(BIN)/python tools/benchmark.py --device @cupy:0 --out result/benchmark-gpu

clean:
	rm -rf $(VENV) build dist mixnorm.egg-info result .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

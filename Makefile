# Everything that is done with this repository. Every command can be run again after an interruption.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# A foreign configuration or collection path would have another copy of the collection tested.
unexport ANSIBLE_CONFIG
unexport ANSIBLE_COLLECTIONS_PATH
export ANSIBLE_FORCE_COLOR := 0
export PY_COLORS := 0
SCENARIO ?= single_port

.PHONY: help setup venv lint docs unit clients molecule test matrix demo demo-down soak bench bench-sockets bench-latency bench-verify clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv:
	@tools/setup-venv

setup: venv  ## install what the commands need, and make the lab ready
	@python3 -m lab setup

lint: venv  ## yamllint, ansible-lint, ruff, mypy, ansible-test sanity, documentation and package checks
	@python3 tools/run_tests.py lint

# Not docs/support.md, which make matrix writes from results that only the machine that ran it has.
docs: venv  ## write the generated pages and comments
	@python3 tools/make_diagnosis.py
	@python3 tools/make_defaults.py

unit: venv  ## unit and contract tests
	@python3 tools/run_tests.py unit

clients: venv  ## official clients, in Chromium and on the command line, see a change live; on loopback only
	@python3 -m tests.browser.install
	@python3 tools/run_tests.py clients

molecule: setup  ## one scenario on lab hosts: make molecule SCENARIO=legacy
	@python3 tools/run_tests.py molecule:$(SCENARIO)

test: setup  ## everything; ends with one line that sums all parts
	@python3 -m tests.browser.install
	@python3 tools/run_tests.py controller molecule clients unit lint

matrix: setup  ## every controller with every host, an hour; writes docs/support.md: make matrix CONTROLLER=core-2.22
	@CONTROLLER="$(CONTROLLER)" HOST="$(HOST)" python3 tools/matrix.py

demo: setup  ## deploy the old and the current layout on lab hosts, and prove both
	@python3 tools/demo.py

demo-down:  ## remove the hosts of the demo
	@python3 -m lab down demo-legacy demo-modern

soak: setup  ## kill runs at random points and break hosts, for about an hour: make soak SEED=7 RUNS=30
	@SEED="$(SEED)" RUNS="$(RUNS)" ONLY="$(ONLY)" python3 tools/soak.py

bench: setup  ## how long runs that change nothing take
	@python3 tools/bench.py

bench-sockets: setup  ## 10,000 idle hub sockets through each proxy, an edit and a restart under them; an hour
	@python3 tools/bench_sockets.py

bench-latency: setup  ## what each proxy adds to the time until an edit is there
	@python3 tools/bench_latency.py

bench-verify: setup  ## how long the proofs of one host and of 50 take
	@python3 tools/bench.py proofs

clean:  ## remove the lab and everything that was built here; the image cache stays
	@python3 -m lab clean
	@rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .ansible

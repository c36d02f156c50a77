# The only commands a newcomer needs. Each one installs what it is missing and can be run again.

export KEELWRIGHT_CACHE ?= $(HOME)/.cache/keelwright
export CARGO_TARGET_DIR ?= $(KEELWRIGHT_CACHE)/target
# go-modules builds Kubernetes from source and needs Go; upstream downloads the released binaries.
export BUNDLE_FROM ?= $(if $(shell command -v go 2>/dev/null),go-modules,upstream)
export KUBERNETES_VERSION ?= v1.37.1

.PHONY: demo test check e2e bench clean-demo

## A real highly available cluster on this machine, from nothing
demo:
	@bash scripts/demo.sh

## Everything that can run here: what CI runs
test:
	@bash .ci/run

## Format, lints and tests that need no machines
check:
	@bash .ci/run check

## All tests on real machines in the lab, also those that take too long for every run
e2e:
	@bash .ci/run e2e

## Ratios against what others do, in one run
bench:
	@bash scripts/bench.sh

## Takes the demo's machines away again
clean-demo:
	@$(CARGO_TARGET_DIR)/debug/keelwright lab down --name demo

# One entry for everything one does here. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Build jobs at a time.
JOBS ?= 2
# Where builds go; debug and release live there side by side.
SCRATCH_PATH ?= .build
export SCRATCH_PATH

SWIFT_BUILD = swift build --scratch-path $(SCRATCH_PATH) --jobs $(JOBS)
# The release build also holds every target to the dependencies that Package.swift declares for it.
RELEASE = $(SWIFT_BUILD) -c release --product sftp-to-s3 --explicit-target-dependency-import-check error
BINARY = $(abspath $(SCRATCH_PATH))/release/sftp-to-s3

# What `make bench` is asked to do; a whole run is kept in Benchmarks/RESULTS.md, a part of it only with RECORD=1.
BENCH_OPTIONS = $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)') $(if $(RUNS),--runs $(RUNS)) \
  $(if $(CLIENTS),--clients '$(CLIENTS)') $(if $(VARIANT),--variant '$(VARIANT)') $(if $(LIST),--list) \
  $(if $(RECORD)$(if $(QUICK)$(ONLY)$(CLIENTS)$(VARIANT),,1),--record)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name what; do printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: ## install what is missing to build and test (apt packages, .venv)
	@scripts/setup.sh

build: ## build the release binary
	@scripts/setup.sh --build-only
	$(RELEASE)

check: setup build ## format, import law, repository hygiene, list of faults, deployment files, no warnings
	swift format lint --strict --recursive --parallel Sources Tests Benchmarks Package.swift
	scripts/check-imports.sh
	scripts/check-repository.sh
	scripts/check-faults.sh
	scripts/check-deploy.sh

test: setup build ## unit, contract and end-to-end tests
	.venv/bin/python -m unittest discover --buffer --start-directory Benchmarks --top-level-directory Benchmarks
	SFTP_TO_S3_BINARY=$(BINARY) swift test --scratch-path $(SCRATCH_PATH) --jobs $(JOBS) --parallel

test-long: setup build fuzz ## the same tests at full scale, and ten million inputs to the SFTP codec
	SFTP_TO_S3_LONG=1 SFTP_TO_S3_BINARY=$(BINARY) swift test --scratch-path $(SCRATCH_PATH) --jobs $(JOBS) --parallel

bench: build ## compare with rclone, lftp and sftp: QUICK=1, ONLY=row,…, RUNS=n; Benchmarks/README.md has more
	@scripts/setup.sh --bench
	$(SWIFT_BUILD) -c release --product bench-proxy
	$(SWIFT_BUILD) -c release --product bench-sftp
	@.venv/bin/python Benchmarks/bench.py --build $(SCRATCH_PATH) $(BENCH_OPTIONS)

fuzz: setup ## feed ten million inputs, guided by coverage, to what reads a server's bytes
	JOBS=$(JOBS) scripts/fuzz.sh

image-test: setup ## build the container image and prove it in a Docker Engine
	@scripts/image-test.sh

demo: setup build ## mirror fixtures/ from a throw-away sshd to a throw-away SeaweedFS
	@scripts/demo.sh

fmt: ## format the Swift sources
	swift format --in-place --recursive --parallel Sources Tests Benchmarks Package.swift

clean: ## remove what was built; .venv stays
	rm -rf $(SCRATCH_PATH)

.PHONY: help setup build check test test-long bench fuzz image-test demo fmt clean

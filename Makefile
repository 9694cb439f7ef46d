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

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name what; do printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: ## install what is missing to build and test (apt packages, .venv)
	@scripts/setup.sh

build: ## build the release binary
	@scripts/setup.sh --build-only
	$(RELEASE)

check: setup build ## format, import law, repository hygiene, list of faults, deployment files, no warnings
	swift format lint --strict --recursive --parallel Sources Tests Package.swift
	scripts/check-imports.sh
	scripts/check-repository.sh
	scripts/check-faults.sh
	scripts/check-deploy.sh

test: setup build ## unit, contract and end-to-end tests
	SFTP_TO_S3_BINARY=$(BINARY) swift test --scratch-path $(SCRATCH_PATH) --jobs $(JOBS) --parallel

test-long: setup build fuzz ## the same tests at full scale, and ten million inputs to the SFTP codec
	SFTP_TO_S3_LONG=1 SFTP_TO_S3_BINARY=$(BINARY) swift test --scratch-path $(SCRATCH_PATH) --jobs $(JOBS) --parallel

fuzz: setup ## feed ten million inputs, guided by coverage, to what reads a server's bytes
	JOBS=$(JOBS) scripts/fuzz.sh

image-test: setup ## build the container image and prove it in a Docker Engine
	@scripts/image-test.sh

demo: setup build ## mirror fixtures/ from a throw-away sshd to a throw-away SeaweedFS
	@scripts/demo.sh

fmt: ## format the Swift sources
	swift format --in-place --recursive --parallel Sources Tests Package.swift

clean: ## remove what was built; .venv stays
	rm -rf $(SCRATCH_PATH)

.PHONY: help setup build check test test-long fuzz image-test demo fmt clean

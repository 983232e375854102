# What there is to do: make build, demo, test, bench, fuzz. Each sets up what it needs and can be run again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: build steps demo test lint unit bench fuzz down clean

HOST := $(shell rustc -vV | sed -n 's/^host: //p')

# The runner, with its step components inside: target/release/runner
build: steps
	cargo build --release --locked

# The step components, built-in ones and those of the tests. Everything else needs them.
steps:
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
	cd steps && cargo build --release --locked

# The orders example on this machine, from its tests to production.
demo: build
	examples/orders/run

# Everything that can be checked, against a real engine, a real registry and a CloudFormation stand-in.
test: lint unit
	@command -v busybox >/dev/null || { apt-get update -qq && apt-get install -y -qq busybox-static; }
	examples/environment/up
	. examples/environment/env.sh && cargo test --locked

lint: steps
	cargo fmt --check
	cd steps && cargo fmt --all --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cd steps && cargo clippy --release --locked -- -D warnings

# What of the step components is pure is tested outside the sandbox.
unit:
	cd steps && cargo test --locked --target $(HOST) -p artifacts -p compose-test -p deploy -p docker-run -p docker-tag -p junit-annotate

# Ratios against a baseline of the same run.
bench: build
	python3 tests/bench/bench.py

# Looks for pipelines that break the parser or the planner, guided by coverage, for so many seconds.
SECONDS ?= 60
fuzz:
	SECONDS_TO_RUN=$(SECONDS) tests/fuzz/run

# Stops what `make demo` and `make test` started.
down:
	examples/environment/down

clean:
	cargo clean
	cd steps && cargo clean

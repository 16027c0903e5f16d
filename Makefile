# `make` alone lists what there is.

.DEFAULT_GOAL := help
.PHONY: help test example lint docs check-config deploy-check release architecture deny advisories bench demo soak fuzz instructions

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## all tests; needs PostgreSQL and Chromium, and installs Debian's packages of what is missing
	cargo test --workspace --features s3,otlp --locked

example: ## the connector in examples/custom-connector builds against the SDK and passes its exam
	scripts/example.sh

soak: ## random faults for SOAK_MINUTES (10), and outages of a database of SOAK_OUTAGES seconds (60,600); LEADWIRE_TEST_SEED plays one seed again
	scripts/soak.sh

fuzz: ## the fuzz targets for FUZZ_SECONDS (60) each; installs cargo-fuzz into .tools. `make fuzz TARGETS=normalizer` runs one
	scripts/fuzz.sh $(TARGETS)

lint: ## format and clippy, every warning an error
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features s3,otlp --locked -- -D warnings

docs: ## the API documentation, every broken link an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

check-config: ## every file under config/ and deploy/ is a configuration that starts
	cargo build --locked
	scripts/check-config.sh

deploy-check: ## package, unit, image, compose, Kubernetes, chart, manual: everything under deploy/; installs its linters into .tools
	cargo build --locked
	scripts/deploy-check.sh

release: ## target/dist: a binary for any Linux, Debian package, bill of materials, checksums; see docs/releasing.md
	scripts/release.sh

architecture: ## the rules of docs/architecture.md that a script can check
	python3 scripts/architecture.py

deny: ## bans, licences and sources of the dependencies
	scripts/tools.sh cargo-deny
	.tools/bin/cargo-deny --locked check bans licenses sources

advisories: ## known vulnerabilities of the dependencies; fetches the RustSec database
	scripts/tools.sh cargo-deny
	.tools/bin/cargo-deny --locked check advisories

bench: ## leads per second, against a bare server that only checks signatures
	cargo bench --locked --bench bridge

instructions: ## instructions of the small parts, against those in benches/instructions.json; installs valgrind
	scripts/instructions.py

demo: ## leads travelling from a simulated chatbot into a simulated CRM and a CSV file
	cargo run --release --locked -- demo

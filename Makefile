# The only entry: `make` lists what there is. Nothing has to be installed first but Rust, Go and make.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench fuzz e2e crd manifests cluster

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-10s %s\n' "$$target" "$$text"; done

demo: ## The main job with nothing else installed: HTTPS and WebSocket through Tidegate, and commands to try
	cargo run --locked -- demo

test: ## Every test, also against a real Kubernetes API server; the last lines say what ran
	@tests/run

check: ## What must hold beside the tests: format, lints, documentation, dependencies, generated files, chart
	@tests/check

bench: ## CPU and memory beside nginx and HAProxy, into benches/RESULTS.md; BENCH='--rows http1' narrows it, BENCH=--help lists
	cargo bench --locked --bench load -- $(BENCH)

fuzz: ## Fuzz one target for long: TARGET=requests SECONDS=600
	@tests/fuzz $(or $(TARGET),requests) $(or $(SECONDS),600)

e2e: ## Install, upgrade under load and uninstall on the cluster that kubectl asks: E2E='--set image.tag=dev' goes to helm
	@tests/e2e/run $(E2E)

crd: ## Write the CustomResourceDefinition: crds/distributions.yaml, the chart's copy of it, and docs/reference.md
	@tests/generated write crd

manifests: ## Write what is rendered from the chart: manifests/{install,quickstart,kind}.yaml
	@tests/generated write manifests

cluster: ## A shell beside a Kubernetes API server; RUN='COMMAND' runs one command there instead
	@tests/control-plane/run --controllers $(if $(RUN),sh -c "$$RUN")

# As it was typed: make would take the dollar signs.
override RUN := $(value RUN)
export RUN

# Every command that people and CI run. `./just` beside this file installs what is missing, then calls it.

set shell := ["bash", "-euo", "pipefail", "-c"]

image := "out/image"
vm := "cargo run --quiet --release --package image-vm --bin vm --"

# Show this list
help:
    @just --list --unsorted --justfile {{ quote(justfile()) }}

# Build the image if needed, boot it in QEMU, wait for Kubernetes (--cpus, --memory, --iso, --firmware, --name …)
up *options:
    @{{ vm }} running || just image
    @{{ vm }} up {{ options }}

# Stop the machine that `up` started (--wipe forgets its disk and identity)
down *options:
    @{{ vm }} down {{ options }}

# Show the machine's console; Ctrl-C leaves it
console:
    @{{ vm }} console

# Write a fresh kubeconfig for the running machine and print its path
kubeconfig:
    @{{ vm }} kubeconfig

# Call the machine API of the running machine, for example `./just orlopctl services`
orlopctl *arguments:
    @ORLOPCONFIG=out/cluster/orlopconfig cargo run --quiet --release --package ctl --bin orlopctl -- {{ arguments }}

# The whole proof: the gate, then every test, the boots of the image last
test *options: check build image
    cargo nextest run --release --workspace {{ options }}

# The gate: format, lints, licences and sources of dependencies. Writes nothing.
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- --deny warnings
    cargo deny --log-level error check bans licenses sources

# Rewrite what `check` would complain about, where a machine can
fix:
    cargo fmt --all
    cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged

# Every program, as it goes into the image and as it runs alone
build:
    cargo build --release --workspace --bins

# The image: kernel, initramfs and ISO into out/image
image *options:
    cargo build --release --package init --package image-programs --package image
    cargo run --quiet --release --package image -- all --out {{ image }} {{ options }}

# The kernel alone (cached by its sources, configuration and compiler)
kernel *options:
    cargo run --quiet --release --package image -- kernel {{ options }}

# Measure: `bench boot` or `bench size`
bench what *options: image
    cargo run --quiet --release --package bench --bin {{ quote(what) }} -- {{ options }}

# Every command that people and CI run. `./just` beside this file installs what is missing, then calls it.

set shell := ["bash", "-euo", "pipefail", "-c"]

image := "out/image"
# Programs are built in one selection and then run from where they are: cargo unites the features of what it builds
# together, so that another selection would compile half of the tree again.
programs := env("CARGO_TARGET_DIR", justfile_directory() / "target") / "x86_64-unknown-linux-gnu/release"
again := quote(just_executable()) + " --justfile " + quote(justfile())

# Show this list
help:
    @{{ again }} --list --unsorted

# Build the image if needed, boot it in QEMU, wait for Kubernetes (--cpus, --memory, --iso, --firmware, --name …)
up *options:
    @{ test -x {{ programs }}/vm && {{ programs }}/vm running; } || {{ again }} image
    @{{ programs }}/vm up {{ options }}

# Stop the machine that `up` started (--wipe forgets its disk and identity)
down *options: driver
    @{{ programs }}/vm down {{ options }}

# Show the machine's console; Ctrl-C leaves it
console: driver
    @{{ programs }}/vm console

# Write a fresh kubeconfig for the running machine and print its path
kubeconfig: driver
    @{{ programs }}/vm kubeconfig

# Call the machine API of the running machine, for example `./just orlopctl services`
orlopctl *arguments:
    @ORLOPCONFIG=out/cluster/orlopconfig {{ programs }}/orlopctl {{ arguments }}

# The whole proof: the gate, then every test, the boots of the image last
test *options: check image references
    cargo nextest run --release --workspace {{ options }}

# Simulate the store while everything fails: --seed N, or a campaign of --hours H (--members 3 or 5, --minutes of each seed)
sim *options:
    cargo run --release --package tests-sim -- {{ options }}

# The gate: format, lints, licences and sources of dependencies. Writes nothing.
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- --deny warnings
    cargo deny --log-level error check bans licenses sources

# Rewrite what `check` would complain about, where a machine can
fix:
    cargo fmt --all
    cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged

# Every program: those of the image, `orlopctl`, and the tools
build:
    cargo build --release --workspace --bins

# The image: kernel, initramfs and ISO into out/image
image *options: build
    {{ programs }}/image all --out {{ image }} {{ options }}

# The kubectls and the etcds that the suites are written for, where `./just` looks for programs first
[private]
references: build
    @into="${ORLOP_CACHE:?run ./just}/tools/bin"; tool={{ programs }}/image; \
        $tool tool kubectl usr/bin/kubectl --into "$into"; \
        $tool tool kubectl/forky usr/bin/kubectl --into "$into" --named kubectl-newest; \
        $tool tool etcd-server usr/bin/etcd --into "$into"; \
        $tool tool etcd-server usr/bin/etcdutl --into "$into"; \
        $tool tool etcd-client usr/bin/etcdctl --into "$into"; \
        $tool tool etcd-server/bookworm usr/bin/etcd --into "$into" --named etcd-3.4; \
        $tool tool etcd-client/bookworm usr/bin/etcdctl --into "$into" --named etcdctl-3.4

# The kernel alone (cached by its sources, configuration and compiler)
kernel *options:
    @test -x {{ programs }}/image || cargo build --release --package image
    {{ programs }}/image kernel {{ options }}

# Measure: `bench boot`, `bench size`, `bench store` or `bench apiserver`
bench what *options: build
    @case {{ what }} in boot | size) {{ again }} image ;; esac
    ORLOP_BIN_DIR={{ programs }} {{ programs }}/bench-{{ what }} {{ options }}

# Crash the store at writes of its disk for so many seconds each, from a seed
crash seconds="600" seed="1":
    ORLOP_CRASH_SECONDS={{ seconds }} ORLOP_CRASH_SEED={{ seed }} cargo nextest run --release --package store --package tests-store \
        --run-ignored all --no-capture --config-file .config/nextest.toml --profile long -E 'binary(crash) & test(any_write)'

# Feed one decoder of foreign bytes (`fuzz/targets/`) for so many seconds; what it finds is left in out/fuzz
fuzz target seconds="120" *options:
    mkdir -p out/fuzz/{{ target }}
    RUSTFLAGS="-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table -C target-cpu=x86-64-v2 -L native=$ROCKSDB_LIB_DIR --cfg fuzzing" \
        cargo run --release --manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}/fuzz" --bin {{ target }} -- \
        out/fuzz/{{ target }} -artifact_prefix=out/fuzz/{{ target }}. -max_total_time={{ seconds }} {{ options }}

# What starts and stops machines
[private]
driver:
    @test -x {{ programs }}/vm || cargo build --release --package image-vm --bin vm

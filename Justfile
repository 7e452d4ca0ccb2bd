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

# The kubectl and the etcd that the suites are written for, where `./just` looks for programs first
[private]
references: build
    {{ programs }}/image tool kubectl usr/bin/kubectl --into "${ORLOP_CACHE:?run ./just}/tools/bin"
    {{ programs }}/image tool etcd-server usr/bin/etcd --into "${ORLOP_CACHE:?run ./just}/tools/bin"
    {{ programs }}/image tool etcd-client usr/bin/etcdctl --into "${ORLOP_CACHE:?run ./just}/tools/bin"
    {{ programs }}/image tool etcd-server usr/bin/etcdutl --into "${ORLOP_CACHE:?run ./just}/tools/bin"

# The kernel alone (cached by its sources, configuration and compiler)
kernel *options:
    @test -x {{ programs }}/image || cargo build --release --package image
    {{ programs }}/image kernel {{ options }}

# Measure: `bench boot`, `bench size` or `bench store`
bench what *options: build
    @case {{ what }} in boot | size) {{ again }} image ;; esac
    {{ programs }}/bench-{{ what }} {{ options }}

# What starts and stops machines
[private]
driver:
    @test -x {{ programs }}/vm || cargo build --release --package image-vm --bin vm

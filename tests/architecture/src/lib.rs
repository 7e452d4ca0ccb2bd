//! The rules of the house, held by reading manifests, sources and ARCHITECTURE.md. See `tests/rules.rs`.

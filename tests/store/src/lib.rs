//! tests-store.

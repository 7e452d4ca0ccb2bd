//! tests-architecture.

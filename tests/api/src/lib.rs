//! tests-api.

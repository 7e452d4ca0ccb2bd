//! tests-boot.

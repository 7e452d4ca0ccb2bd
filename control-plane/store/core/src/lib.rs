//! store-core.

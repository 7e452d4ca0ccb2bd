//! init-core.

//! machined-core.

//! machined.

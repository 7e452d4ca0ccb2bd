//! apiserver-core.

//! init-sys.

//! What the controllers decide, without I/O.

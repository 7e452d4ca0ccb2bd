//! Acting as somebody else: who is wanted, and what one must be allowed for that.
//!
//! There are two ways. Whoever may `impersonate` a user may do all that the user may. Whoever may only
//! `impersonate:user-info` (or `:serviceaccount`, `:arbitrary-node`, `:associated-node`) needs for each request the verb
//! `impersonate-on:user-info:list` as well. The narrower way is tried first.

mod headers;
mod modes;

pub use headers::{Wanted, read};
pub use modes::{Check, Mode, Step, Subject};

#[cfg(test)]
mod tests;

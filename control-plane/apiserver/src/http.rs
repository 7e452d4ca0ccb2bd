//! HTTP, kept out of the inside: negotiation, bodies in, answers out.

pub(crate) mod body;
pub(crate) mod gzip;
pub(crate) mod negotiate;
pub(crate) mod respond;

pub(crate) use apiserver_core::query;

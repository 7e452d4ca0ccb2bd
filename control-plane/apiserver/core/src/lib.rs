//! What the Kubernetes API server decides, without any input or output: resources as rows, one engine for all of them, strategies
//! for what differs per kind, patches, selectors, schemas, discovery and table documents, and the errors clients see.
//!
//! Start at [`registry`] (the rows) and [`engine`] (what happens to an object on its way to the store). Everything here is a pure
//! function: time, random bits and the state of address pools come in through [`engine::Context`].

pub mod apply;
pub mod authorize;
pub mod connect;
pub mod continuation;
pub mod decode;
pub mod discovery;
pub mod engine;
pub mod eviction;
pub mod flow;
mod form;
pub mod kinds;
mod metadata;
pub mod names;
pub mod object;
pub mod openapi;
pub mod options;
pub mod outline;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod query;
pub mod registry;
pub mod resource;
pub mod scale;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod table;
pub mod time;
pub mod user;

pub use field;
pub use object::Object;
pub use registry::Registry;
pub use resource::Resource;
pub use status::Status;

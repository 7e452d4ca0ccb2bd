//! An API server under load: ours, started for it, or whichever a URL and credentials lead to.

pub mod fan_out;
pub mod load;
pub mod objects;
pub mod report;
pub mod subject;
pub mod target;

//! What the controllers decide, without I/O: no socket, no file, no clock. Time and chance are arguments.
//!
//! | I want to know                                            | open                   |
//! |-----------------------------------------------------------|------------------------|
//! | when an object is looked at again                         | [`queue`]              |
//! | who may lead, and until when                              | [`election`]           |
//! | what a broken watch leads to                              | [`watching`]           |
//! | which resources exist and can be deleted                  | [`catalogue`]          |
//! | what happens next to a namespace that is being deleted    | [`namespace`]          |
//! | what every namespace is given                             | [`default_account`], [`root_ca`] |
//! | what is in a role that is the sum of others               | [`role_aggregation`]   |
//! | which controllers run                                     | [`selection`]          |
//! | what is worth a log line                                  | [`trouble`]            |
//! | how a flag writes a duration                              | [`go_duration`]        |

pub mod catalogue;
pub mod default_account;
pub mod election;
pub mod go_duration;
pub mod namespace;
pub mod queue;
pub mod role_aggregation;
pub mod root_ca;
pub mod selection;
pub mod trouble;
pub mod uptime;
pub mod watching;

//! Answers that are large: only so many bytes of them are made and held at once.
//!
//! A unary answer is in memory as a whole, twice while it is encoded, until its client has taken it. Clients that ask for
//! everything at the same time would otherwise decide how much memory a member needs.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::RangeRequest;
use store_core::{KeyRange, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::database::Database;

/// What such answers may take together, in mebibytes. One that takes more by itself is made alone. More: more memory when many
/// ask for everything; less: they wait longer for each other.
const BUDGET: usize = 128;
/// How often an answer is in memory at worst: as pairs, and encoded.
const COPIES: u64 = 2;
/// What is smaller is not held up: as many of these as there are calls under way still fit into the memory.
const SMALL: u64 = 4 << 20;

/// The places of large answers.
#[derive(Debug)]
pub struct Large(Arc<Semaphore>);

/// The place of one answer, for as long as that is in memory: until its last byte is sent, or nobody wants it any more.
#[derive(Debug, Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Default for Large {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET)))
    }
}

impl Large {
    /// Waits for a place for the answer to a request, if it needs one. Its size is an estimate by the files: with the older
    /// versions of its keys, and without what is not in files yet. A request with a limit is as large as its client wants.
    pub async fn place(
        &self,
        database: &Database,
        request: &RangeRequest,
        patience: Duration,
    ) -> Result<Option<Place>, Refusal> {
        if request.range_end.is_empty() || request.limit > 0 || request.keys_only || request.count_only {
            return Ok(None);
        }
        let keys = KeyRange::new(request.key.clone(), &request.range_end);
        // Who cannot know how large it is finds out what is wrong by reading it.
        let bytes = database.bytes_of(&keys).unwrap_or(0);
        if bytes <= SMALL {
            return Ok(None);
        }
        let places = usize::try_from((COPIES * bytes).div_ceil(1 << 20)).map_or(BUDGET, |wanted| wanted.min(BUDGET));
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let permit = tokio::time::timeout(patience, Arc::clone(&self.0).acquire_many_owned(places)).await;
        let permit = permit.map_err(|_elapsed| Refusal::TooManyRequests)?.map_err(|_closed| Refusal::Stopped)?;
        Ok(Some(Place { _permit: Arc::new(permit) }))
    }
}

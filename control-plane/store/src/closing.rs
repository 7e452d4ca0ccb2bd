//! Which databases are still open. The program must not end before they are closed: RocksDB's threads would meet a library
//! that is being taken down under them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static OPEN: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

/// Stands for one open database. To be held behind it, so that it goes after it.
#[derive(Debug)]
pub struct Open {
    _count: Arc<()>,
}

impl Open {
    /// One more is open.
    #[must_use]
    pub fn new() -> Self {
        Self { _count: Arc::clone(&OPEN) }
    }
}

impl Default for Open {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until every database is closed, but not for longer than `at_most`; whether all are.
pub fn wait(at_most: Duration) -> bool {
    let deadline = Instant::now() + at_most;
    while Arc::strong_count(&OPEN) > 1 {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

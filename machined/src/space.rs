//! Looks at the volumes now and then, and reports those that are full.

use std::path::{Path, PathBuf};
use std::time::Duration;

use machined_core::condition::Severity;
use machined_core::space::{Volume, finding};

use crate::report::Report;

/// How often it is looked. A store that writes as fast as a disk can fills a few percent of it in that time.
const PERIOD: Duration = Duration::from_secs(5);

/// The part that conditions are reported for.
const PART: &str = "space";

/// Reports volumes, each with its name for people, for ever.
pub(crate) async fn watch(volumes: Vec<(String, PathBuf)>, report: Report) {
    loop {
        let measured: Vec<_> = volumes.iter().filter_map(|(name, path)| measure(name, path)).collect();
        match finding(&measured) {
            Some((Severity::Error, message)) => report.error(PART, message),
            Some((Severity::Warning | Severity::Info, message)) => report.warn(PART, message),
            None => report.clear(PART),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// A volume that cannot be asked has worse problems than being full, and they are reported elsewhere.
fn measure(name: &str, path: &Path) -> Option<Volume> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Volume { name: name.to_owned(), total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let volume = measure("DATA", folder.path()).unwrap();
        assert!(volume.total >= volume.free && volume.total > 0, "{volume:?}");
        assert_eq!(measure("DATA", Path::new("/nowhere")), None);
    }
}

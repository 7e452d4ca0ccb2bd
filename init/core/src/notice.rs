//! What a service says about itself in one datagram: lines of `KEY=value` (the `sd_notify` protocol).

/// The longest status text that is kept, in bytes. It is shown on one line of a table.
const STATUS_LIMIT: usize = 256;

/// The largest datagram that is read. The protocol's own limit is not written down; states are a few lines.
pub const DATAGRAM_LIMIT: usize = 4096;

/// The parts of a datagram that mean something here; unknown keys are allowed by the protocol and ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notice {
    /// `READY=1`: the service serves.
    pub ready: bool,
    /// `STOPPING=1`: the service is about to end.
    pub stopping: bool,
    /// `STATUS=`: one line for a person.
    pub status: Option<String>,
}

impl Notice {
    /// Reads a datagram. Bytes that are not text are replaced; nothing is refused.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Self {
        let mut notice = Self::default();
        for line in String::from_utf8_lossy(datagram).lines() {
            match line.split_once('=') {
                Some(("READY", "1")) => notice.ready = true,
                Some(("STOPPING", "1")) => notice.stopping = true,
                Some(("STATUS", text)) => notice.status = Some(crate::log::printable(text, STATUS_LIMIT)),
                Some(_) | None => {}
            }
        }
        notice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_read_and_others_ignored() {
        let notice = Notice::parse(b"READY=1\nSTATUS=3 disks\nMAINPID=77\nnonsense\n");
        assert_eq!(notice, Notice { ready: true, stopping: false, status: Some("3 disks".into()) });
        assert!(!Notice::parse(b"READY=0").ready);
        assert!(Notice::parse(b"STOPPING=1").stopping);
    }

    #[test]
    fn garbage_is_neither_kept_whole_nor_printed_raw() {
        let mut datagram = b"STATUS=\x1b[2Jcleared \xff".to_vec();
        datagram.extend(std::iter::repeat_n(b'x', 5000));
        let status = Notice::parse(&datagram).status.expect("a status");
        assert!(status.len() <= STATUS_LIMIT && !status.contains('\x1b'), "{status}");
    }
}

//! One record of the kernel's log, as `/dev/kmsg` gives it.

/// A message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Microseconds since the kernel started.
    pub uptime_us: u64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The text.
    pub text: String,
}

/// Reads a record: `<priority>,<sequence>,<microseconds>,<flags>[,...];<text>`, then lines that begin with a space.
///
/// `None` if it is not one. What cannot be printed is escaped by the kernel already.
#[must_use]
pub fn parse(record: &[u8]) -> Option<Record> {
    let text = String::from_utf8_lossy(record);
    let (head, rest) = text.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let _sequence = fields.next()?;
    let uptime_us = fields.next()?.parse().ok()?;
    let line = rest.split('\n').next().unwrap_or_default();
    // The lowest three bits are the level, the others name who wrote it.
    Some(Record { uptime_us, level: (priority & 7) as u8, text: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_its_properties_are_left_out() {
        let record = parse(b"30,1077,5140900,-;virtio_net: up; and; more\n SUBSYSTEM=net\n").unwrap();
        assert_eq!(record, Record { uptime_us: 5_140_900, level: 6, text: "virtio_net: up; and; more".into() });
        assert_eq!(parse(b"6,1,2,-,caller=T1;x\n").unwrap().text, "x");
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [&b""[..], b"x;y", b"1;y", b"1,2;y", b"1,2,z,-;y", b"\xff\xff"] {
            assert_eq!(parse(text), None);
        }
    }
}

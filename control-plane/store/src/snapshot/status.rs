//! What a snapshot holds, as etcdutl tells it.

use std::io::{Read, Seek};

use bolt::{ReadError, Reader};
use store_core::encoding::split_rev;
use store_core::foreign;

/// What there is to say about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// CRC-32C over the names, keys and values of all buckets.
    pub hash: u32,
    /// The newest revision.
    pub revision: i64,
    /// How many records there are, of whatever kind.
    pub total_key: u64,
    /// Bytes of the database.
    pub total_size: u64,
}

/// How a summary is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Fields behind their names.
    Fields,
    /// JSON.
    Json,
    /// On one line.
    Simple,
    /// For people.
    Table,
}

/// Reads all of a snapshot.
pub fn summary(source: impl Read + Seek) -> Result<Summary, ReadError> {
    let mut reader = Reader::open(source)?;
    let mut summary = Summary { hash: 0, revision: 0, total_key: 0, total_size: reader.size() };
    for bucket in reader.buckets()? {
        summary.hash = crc32c::crc32c_append(summary.hash, &bucket.name);
        let mut walk = reader.walk(&bucket)?;
        while let Some((key, value)) = walk.entry()? {
            summary.hash = crc32c::crc32c_append(summary.hash, key);
            summary.hash = crc32c::crc32c_append(summary.hash, value);
            summary.total_key += 1;
            if bucket.name == foreign::KEY
                && let Ok((place, _)) = split_rev(key)
            {
                summary.revision = place.revision.0;
            }
        }
    }
    Ok(summary)
}

impl Summary {
    /// The text etcdutl prints.
    #[must_use]
    pub fn show(&self, format: Format) -> String {
        let Self { hash, revision, total_key, total_size } = self;
        match format {
            Format::Simple => format!("{hash:x}, {revision}, {total_key}, {}", size(*total_size)),
            Format::Json => format!(
                "{{\"hash\":{hash},\"revision\":{revision},\"totalKey\":{total_key},\"totalSize\":{total_size}}}"
            ),
            Format::Fields => {
                format!("\"Hash\" : {hash}\n\"Revision\" : {revision}\n\"Keys\" : {total_key}\n\"Size\" : {total_size}")
            }
            Format::Table => {
                let cells = [format!("{hash:x}"), revision.to_string(), total_key.to_string(), size(*total_size)];
                table(["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"], &cells)
            }
        }
    }
}

fn table(heads: [&str; 4], cells: &[String; 4]) -> String {
    let widths: Vec<_> = heads.iter().zip(cells).map(|(head, cell)| head.len().max(cell.len())).collect();
    let rule = widths.iter().fold("+".to_owned(), |rule, width| rule + &"-".repeat(width + 2) + "+");
    let row = |texts: Vec<&str>| {
        texts.iter().zip(&widths).fold("|".to_owned(), |row, (text, width)| format!("{row} {text:^width$} |"))
    };
    let (heads, cells) = (row(heads.to_vec()), row(cells.iter().map(String::as_str).collect()));
    [rule.clone(), heads, rule.clone(), cells, rule].join("\n")
}

/// Bytes as people read them: `20 kB`, `1.3 MB`.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if value < 10.0 && unit != "B" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_looks_as_etcds() {
        let summary = Summary { hash: 0xe0b0_d147, revision: 6, total_key: 16, total_size: 20_480 };
        assert_eq!(summary.show(Format::Simple), "e0b0d147, 6, 16, 20 kB");
        assert_eq!(summary.show(Format::Json), r#"{"hash":3769684295,"revision":6,"totalKey":16,"totalSize":20480}"#);
        assert!(summary.show(Format::Table).contains("| e0b0d147 |    6     |     16     |   20 kB    |"));
        assert_eq!(size(1_300_000), "1.3 MB");
        assert_eq!(size(999), "999 B");
    }
}

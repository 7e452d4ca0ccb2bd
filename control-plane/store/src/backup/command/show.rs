//! What the commands print.

use serde::Serialize;
use store_core::backup::Moment;
use store_core::backup::name::ObjectName;
use store_core::backup::plan::{Chain, End};

use crate::backup::target::{Target, TargetError};
use crate::backup::verify::Proof;
use crate::backup::{folder, look_up};
use crate::snapshot::status::Format;

/// Rows under heads, each column as wide as it has to be.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(heads[column].len());
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let rule = widths.iter().fold("+".to_owned(), |rule, width| rule + &"-".repeat(width + 2) + "+");
    let line = |cells: Vec<&str>| {
        cells.iter().zip(&widths).fold("|".to_owned(), |line, (cell, width)| format!("{line} {cell:<width$} |"))
    };
    let mut lines = vec![rule.clone(), line(heads.to_vec()), rule.clone()];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.push(rule);
    lines.join("\n")
}

/// Things in the form that was asked for; `row` makes the cells of one.
fn render<T: Serialize>(format: Format, heads: &[&str], things: &[T], row: impl Fn(&T) -> Vec<String>) -> String {
    let rows = || things.iter().map(&row);
    match format {
        Format::Json => serde_json::to_string(things).unwrap_or_default(),
        Format::Simple => rows().map(|cells| cells.join(", ")).collect::<Vec<_>>().join("\n"),
        Format::Table => table(heads, &rows().collect::<Vec<_>>()),
        Format::Fields => {
            let fields = |cells: Vec<String>| {
                let lines = heads.iter().zip(cells).map(|(head, cell)| format!("\"{head}\" : {cell}"));
                lines.collect::<Vec<_>>().join("\n")
            };
            rows().map(fields).collect::<Vec<_>>().join("\n\n")
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    kind: &'static str,
    first: u64,
    last: u64,
    /// 0: not known.
    revision: i64,
    time: String,
    size: u64,
    name: String,
}

/// Every object of a cluster's backup.
pub(super) fn list(target: &dyn Target, cluster_id: u64, format: Format) -> Result<String, TargetError> {
    let items = target.list(&folder(cluster_id))?.into_iter().filter_map(|object| {
        let (kind, first, last, revision, time) = match ObjectName::parse(object.name.rsplit('/').next()?)? {
            ObjectName::Snapshot(name) => ("snapshot", name.place.index, name.place.index, name.revision.0, name.time),
            ObjectName::Segment(name) => {
                ("segment", name.first, name.last.index, name.revision.map_or(0, |revision| revision.0), name.time)
            }
        };
        Some(Item { kind, first, last, revision, time: time.rfc3339(), size: object.size, name: object.name })
    });
    let items: Vec<_> = items.collect();
    let heads = ["KIND", "FIRST ENTRY", "LAST ENTRY", "REVISION", "TIME", "SIZE", "NAME"];
    Ok(render(format, &heads, &items, |item| {
        let Item { kind, first, last, revision, time, size, name } = item;
        let number = |number: u64| number.to_string();
        let (first, last, size) = (number(*first), number(*last), number(*size));
        vec![(*kind).to_owned(), first, last, revision.to_string(), time.clone(), size, name.clone()]
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    cluster: String,
    chain: String,
    /// The first revision and moment that can be restored.
    from_revision: i64,
    from_time: String,
    /// The last entry, and when it had been applied.
    until_entry: u64,
    until_time: String,
    snapshots: usize,
    segments: usize,
    /// Entries that no object holds: the first and the last one.
    missing: Option<(u64, u64)>,
}

fn span(cluster_id: u64, chain: &Chain) -> Option<Span> {
    let first = chain.snapshots.first()?;
    let newest = chain.snapshots.last()?;
    let (way, end) = chain.follow(first);
    let reached = way.last().map_or((first.place.index, first.time), |segment| (segment.last.index, segment.time));
    // A snapshot reaches as far as itself, whether a segment leads to it or not.
    let (entry, until): (u64, Moment) = reached.max((newest.place.index, newest.time));
    let missing = match end {
        End::Missing { from, to } => Some((from, to)),
        End::Newest | End::Gap(_) => None,
    };
    Some(Span {
        cluster: format!("{cluster_id:x}"),
        chain: chain.name.to_string(),
        from_revision: first.revision.0,
        from_time: first.time.rfc3339(),
        until_entry: entry,
        until_time: until.rfc3339(),
        snapshots: chain.snapshots.len(),
        segments: chain.segments.len(),
        missing,
    })
}

/// What can be restored: a line for each chain.
pub(super) fn status(target: &dyn Target, cluster_id: u64, format: Format) -> Result<String, TargetError> {
    let chains = look_up(target, cluster_id)?;
    let spans: Vec<_> = chains.iter().filter_map(|chain| span(cluster_id, chain)).collect();
    let heads =
        ["CLUSTER", "CHAIN", "FROM REVISION", "FROM", "UNTIL", "LAST ENTRY", "SNAPSHOTS", "SEGMENTS", "MISSING"];
    Ok(render(format, &heads, &spans, |span| {
        vec![
            span.cluster.clone(),
            span.chain.clone(),
            span.from_revision.to_string(),
            span.from_time.clone(),
            span.until_time.clone(),
            span.until_entry.to_string(),
            span.snapshots.to_string(),
            span.segments.to_string(),
            span.missing.map_or_else(|| "nothing".to_owned(), |(from, to)| format!("entries {from} to {to}")),
        ]
    }))
}

/// What was proven.
pub(super) fn proofs(proofs: &[Proof], format: Format) -> String {
    let heads = ["CHAIN", "SNAPSHOTS", "COMPARED", "SEGMENTS", "ENTRIES", "REVISION", "UNTIL", "HASH"];
    render(format, &heads, proofs, |proof| {
        vec![
            proof.chain.to_string(),
            proof.snapshots.to_string(),
            proof.compared.to_string(),
            proof.segments.to_string(),
            proof.entries.to_string(),
            proof.revision.to_string(),
            proof.until.rfc3339(),
            proof.hash.to_string(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_shows_every_thing() {
        #[derive(Serialize)]
        struct Pair(u8, &'static str);
        let pairs = [Pair(1, "one"), Pair(20, "twenty")];
        let show = |format| render(format, &["N", "WORD"], &pairs, |pair| vec![pair.0.to_string(), pair.1.to_owned()]);
        assert_eq!(show(Format::Simple), "1, one\n20, twenty");
        assert_eq!(show(Format::Json), r#"[[1,"one"],[20,"twenty"]]"#);
        assert_eq!(show(Format::Fields), "\"N\" : 1\n\"WORD\" : one\n\n\"N\" : 20\n\"WORD\" : twenty");
        let rule = "+----+--------+";
        let lines = [rule, "| N  | WORD   |", rule, "| 1  | one    |", "| 20 | twenty |", rule];
        assert_eq!(show(Format::Table), lines.join("\n"));
    }
}

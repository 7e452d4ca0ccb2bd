//! The audit log: shown, and checked for tampering.

use std::io::{Write, stdout};

use jiff::Timestamp;
use ledger::{Head, Record, Verifier};
use proto::machine::AuditRequest;
use serde_json::json;

use crate::cli::{AuditArgs, AuditCommand, Output};
use crate::connection::Machine;
use crate::error::Error;
use crate::table;

/// Widths of the columns of a table that grows while it is printed.
const WIDTHS: [usize; 6] = [8, 24, 20, 21, 16, 9];
const HEADING: [&str; 7] = ["SEQ", "TIME", "WHO", "FROM", "WHAT", "OUTCOME", "DETAIL"];

pub(crate) async fn run(machine: Machine, args: &AuditArgs) -> Result<(), Error> {
    match &args.command {
        None => show(machine, args).await,
        Some(AuditCommand::Verify { head }) => verify(machine, *head).await,
    }
}

async fn show(machine: Machine, args: &AuditArgs) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let request = AuditRequest { from: args.from, tail: args.tail, follow: args.follow };
    let mut records = machine.answer("read the audit log", client.audit(request)).await?;
    if args.output == Output::Table {
        writeln!(stdout(), "{}", row(&HEADING.map(str::to_owned)))?;
    }
    while let Some(record) = records.message().await.map_err(Error::refused("read the audit log"))? {
        let text = match (ledger::read(&record.line), args.output) {
            (Ok((record, _)), Output::Table) => row(&cells(&record)),
            (Ok((record, hash)), Output::Json) => {
                let mut value = json!(record);
                value["time"] = json!(time(record.time_ms));
                value["hash"] = json!(hash);
                value.to_string()
            }
            (Err(fault), Output::Table) => format!("a bad record: {fault}"),
            (Err(fault), Output::Json) => json!({"bad": fault.to_string()}).to_string(),
        };
        writeln!(stdout(), "{text}")?;
    }
    Ok(())
}

/// Checks every record that the machine has kept. What is checked is computed here: the machine's word is not taken.
async fn verify(machine: Machine, kept: Option<Head>) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let request = AuditRequest::default();
    let mut lines = machine.answer("read the audit log", client.audit(request)).await?;
    let mut check = Check { verifier: Verifier::default(), kept, seen: false, first: None };
    while let Some(record) = lines.message().await.map_err(Error::refused("read the audit log"))? {
        check.line(&record.line)?;
    }
    let (first, head) = check.end()?;
    Ok(writeln!(
        stdout(),
        "records {first} to {} are one chain; keep this to see later whether it was cut short:\n--head {}:{}",
        head.seq,
        head.seq,
        head.hash
    )?)
}

/// A chain as it is read.
struct Check {
    verifier: Verifier,
    kept: Option<Head>,
    seen: bool,
    first: Option<u64>,
}

impl Check {
    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        let record = self.verifier.check(line).map_err(Error::Audit)?;
        self.first.get_or_insert(record.seq);
        let head = self.verifier.head();
        if let Some(kept) = self.kept.filter(|kept| kept.seq == record.seq) {
            if head != Some(kept) {
                return Err(Error::AuditHead { seq: kept.seq, why: "was replaced" });
            }
            self.seen = true;
        }
        Ok(())
    }

    /// The number of the first record, and the end of the chain.
    fn end(self) -> Result<(u64, Head), Error> {
        if let Some(kept) = self.kept.filter(|_| !self.seen) {
            let why = if self.first.is_some_and(|first| first > kept.seq) {
                "is older than what is kept"
            } else {
                "is missing: the log was cut short"
            };
            return Err(Error::AuditHead { seq: kept.seq, why });
        }
        let (Some(first), Some(head)) = (self.first, self.verifier.head()) else {
            return Err(Error::AuditHead { seq: 1, why: "is missing: the log is empty" });
        };
        Ok((first, head))
    }
}

fn cells(record: &Record) -> [String; 7] {
    let event = &record.event;
    let who = event.who.as_ref().map_or("-", |who| who.name.as_str());
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        record.seq.to_string(),
        time(record.time_ms),
        or_dash(who),
        or_dash(&event.from),
        event.what.clone(),
        event.outcome.as_str().to_owned(),
        event.detail.clone(),
    ]
}

fn row(cells: &[String; 7]) -> String {
    table::row(cells, &WIDTHS)
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Event, Outcome, Who};

    fn lines(count: usize) -> (Vec<String>, Vec<Head>) {
        let mut head = Head::default();
        let made = (0..count).map(|number| {
            let (line, next) = head.seal(1_790_000_000_123, "boot", Event::local("test", "x", number.to_string()));
            head = next;
            (line, next)
        });
        made.unzip()
    }

    fn check(lines: &[String], kept: Option<Head>) -> Result<(u64, Head), Error> {
        let mut check = Check { verifier: Verifier::default(), kept, seen: false, first: None };
        lines.iter().try_for_each(|line| check.line(line.as_bytes()))?;
        check.end()
    }

    #[test]
    fn a_head_that_was_kept_shows_what_a_chain_alone_cannot() {
        let (lines, heads) = lines(4);
        assert_eq!(check(&lines, None).unwrap(), (1, heads[3]));
        assert_eq!(check(&lines, Some(heads[1])).unwrap(), (1, heads[3]));
        let error = |lines: &[String], kept| check(lines, kept).unwrap_err().to_string();
        assert_eq!(error(&lines[..2], Some(heads[3])), "record 4 of the audit log is missing: the log was cut short");
        assert_eq!(error(&lines[2..], Some(heads[0])), "record 1 of the audit log is older than what is kept");
        let other = Head { seq: 2, ..heads[2] };
        assert_eq!(error(&lines, Some(other)), "record 2 of the audit log was replaced");
        assert_eq!(error(&[], None), "record 1 of the audit log is missing: the log is empty");
        let mut changed = lines.clone();
        changed[2] = changed[2].replace("test", "best");
        assert_eq!(
            check(&changed, None).map_err(|error| chain::Chain(&error).to_string()),
            Err("the audit log was tampered with: record 3 is bad: it was changed: its hash is that of another text"
                .into())
        );
    }

    #[test]
    fn a_row_names_who_did_what() {
        let who = Who {
            name: "ann".into(),
            roles: vec!["orlop:admin".into()],
            serial: "4f".into(),
            fingerprint: "00".into(),
        };
        let event = Event {
            who: Some(who),
            from: "192.0.2.7:40000".into(),
            what: "Reboot".into(),
            outcome: Outcome::Done,
            detail: "call 7".into(),
        };
        let (line, _) = Head::default().seal(1_790_000_000_123, "boot", event);
        let (record, _) = ledger::read(line.as_bytes()).unwrap();
        assert_eq!(
            row(&cells(&record)),
            "1          2026-09-21T14:13:20.123Z   ann                    192.0.2.7:40000         Reboot             done        call 7"
        );
    }
}

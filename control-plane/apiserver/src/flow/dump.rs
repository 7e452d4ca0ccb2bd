//! What `/debug/api_priority_and_fairness/` shows: levels, queues and requests, as upstream's columns.

use std::time::SystemTime;

use super::Flow;
use super::level::Guest;
use super::metrics::{Reason, Tally};
use crate::request_info::ResourceRequest;

const LEVELS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];
const QUEUES: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];
const REQUESTS: [&str; 10] = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
];
const DETAILS: [&str; 8] =
    ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];

type Row = Vec<String>;

impl Flow {
    /// The page of this name; none if there is no such page.
    pub(crate) fn dump(&self, page: &str, details: bool) -> Option<String> {
        let rows = match page {
            "dump_priority_levels" => self.levels(),
            "dump_queues" => self.queues(),
            "dump_requests" => self.requests(details),
            _ => return None,
        };
        Some(aligned(&rows))
    }

    fn levels(&self) -> Vec<Row> {
        let force = self.in_force();
        let mut rows = vec![row(&LEVELS)];
        for (name, ruled) in &force.levels {
            let state = ruled.level.state();
            let active = state.queues.view().filter(|queue| !queue.waiting.is_empty()).count();
            let counts = state.queues.counts();
            let sum = |of: fn(&Tally) -> u64| state.tallies.values().map(of).sum::<u64>().to_string();
            rows.push(vec![
                name.clone(),
                active.to_string(),
                (counts.waiting == 0 && counts.executing == 0).to_string(),
                ruled.left_over.to_string(),
                counts.waiting.to_string(),
                counts.executing.to_string(),
                sum(|tally| tally.dispatched),
                sum(Tally::all_refusals),
                sum(|tally| tally.refusals(Reason::TimeOut)),
                sum(|tally| tally.refusals(Reason::Cancelled)),
            ]);
        }
        rows
    }

    fn queues(&self) -> Vec<Row> {
        let force = self.in_force();
        let mut rows = vec![row(&QUEUES)];
        for (name, ruled) in &force.levels {
            for (index, queue) in ruled.level.state().queues.view().enumerate() {
                rows.push(vec![
                    name.clone(),
                    index.to_string(),
                    queue.waiting.len().to_string(),
                    queue.executing.to_string(),
                    queue.seats.to_string(),
                    format!("{:.8}ss", queue.next),
                    queue.initial_seats.to_string(),
                    queue.most_seats.to_string(),
                    format!("{:.8}ss", queue.work),
                ]);
            }
        }
        rows
    }

    fn requests(&self, details: bool) -> Vec<Row> {
        let force = self.in_force();
        let mut rows = vec![row(&REQUESTS)];
        if details {
            rows[0].extend(row(&DETAILS));
        }
        for (name, ruled) in &force.levels {
            let state = ruled.level.state();
            for (ticket, guest) in &state.guests {
                let queue = state.queues.queue_of(*ticket);
                let place = queue
                    .and_then(|queue| state.queues.view().nth(queue)?.waiting.iter().position(|one| one == ticket));
                let index = |index: Option<usize>| index.map_or_else(|| "-1".to_owned(), |index| index.to_string());
                let mut cells = vec![
                    name.clone(),
                    guest.schema.to_string(),
                    index(queue),
                    index(place),
                    guest.flow.clone(),
                    time(Some(guest.arrived)),
                    guest.width.initial.to_string(),
                    guest.width.last.to_string(),
                    format!("{}s", guest.width.lingering.as_secs_f64()),
                    time(guest.began),
                ];
                if details {
                    cells.extend(detailed(guest));
                }
                rows.push(cells);
            }
        }
        rows
    }
}

fn row(cells: &[&str]) -> Row {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

fn time(time: Option<SystemTime>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn detailed(guest: &Guest) -> Row {
    let none = ResourceRequest::default();
    let target = guest.info.resource.as_ref().unwrap_or(&none);
    let version = match target.group.as_str() {
        "" => target.version.clone(),
        group => format!("{group}/{}", target.version),
    };
    vec![
        guest.user.clone(),
        guest.info.verb.as_str().to_owned(),
        guest.info.path.clone(),
        target.namespace.clone(),
        target.name.clone(),
        version,
        target.resource.clone(),
        target.subresource.clone(),
    ]
}

/// Columns as wide as their widest cell, with a comma behind all but the last.
fn aligned(rows: &[Row]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < columns {
                out.push(',');
                out.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count() + 1));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_server_shows_its_levels() {
        let flow = Flow::new(100);
        let page = flow.dump("dump_priority_levels", false).unwrap();
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines.len(), 3, "{page}");
        assert!(lines[1].starts_with("catch-all,         0,            true,   false,       0, "), "{page}");
        assert_eq!(flow.dump("dump_nothing", false), None);
        assert_eq!(flow.dump("dump_requests", true).unwrap().split(',').count(), REQUESTS.len() + DETAILS.len());
    }
}

//! The promises of a watch, with a stream that has little room and a history that is read late.

use std::collections::VecDeque;

use prost::Message as _;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, WatchCreateRequest};
use proto::mvccpb;
use proto::store::{Command, command::Op};

use super::*;
use crate::memory::Memory;
use crate::watch::catch_up::{Chunk, read};
use crate::{Overlay, Space, apply};

const S: StreamId = StreamId(1);
const NOW: Duration = Duration::ZERO;
const LIMITS: Limits = Limits { message_bytes: 1000, recent_bytes: 1500, progress_every: Duration::from_mins(10) };

/// A store with a hub, one stream and its bounded queue.
struct Rig {
    memory: Memory,
    state: State,
    hub: Hub,
    outlet: Queue,
}

#[derive(Default)]
struct Queue {
    room: usize,
    queued: VecDeque<Message>,
    errands: Vec<Errand>,
}

impl Outlet for Queue {
    fn answer(&mut self, _: StreamId, message: Message) {
        self.queued.push_back(message);
    }

    fn send(&mut self, _: StreamId, messages: Vec<Message>) -> bool {
        if self.queued.len() + messages.len() > self.room {
            return false;
        }
        self.queued.extend(messages);
        true
    }

    fn catch_up(&mut self, errand: Errand) {
        self.errands.push(errand);
    }
}

impl Rig {
    fn new(room: usize) -> Self {
        let outlet = Queue { room, ..Queue::default() };
        Self { memory: Memory::default(), state: State::EMPTY, hub: Hub::new(Revision::FIRST, LIMITS), outlet }
    }

    fn change(&mut self, op: Op) -> Vec<Event> {
        let mut overlay = Overlay::new(&self.memory);
        let command = Command { op: Some(op), ..Command::default() };
        let applied = apply::apply(&mut overlay, &mut self.state, &command).unwrap();
        let (key, value) = self.state.record();
        overlay.put(Space::Meta, key, value);
        let writes = overlay.into_writes();
        self.memory.absorb(writes);
        applied.events
    }

    fn apply(&mut self, op: Op) {
        let events = self.change(op);
        self.hub.publish(events, self.state.revision, &self.memory, NOW, &mut self.outlet).unwrap();
    }

    /// The state is replaced by one with a further change.
    fn jump(&mut self, key: &str) {
        let put = PutRequest { key: key.to_owned().into(), value: "j".into(), ..PutRequest::default() };
        self.change(Op::Put(put));
        self.hub.jump(self.state.revision, &mut self.outlet);
    }

    fn put(&mut self, key: &str) {
        self.apply(Op::Put(PutRequest { key: key.to_owned().into(), value: "v".into(), ..PutRequest::default() }));
    }

    fn delete(&mut self, key: &str) {
        let request = DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() };
        self.apply(Op::DeleteRange(request));
    }

    fn watch(&mut self, request: &WatchCreateRequest) {
        self.hub.create(S, request.watch_id, Spec::new(request), NOW, &mut self.outlet);
    }

    /// Runs one errand: one chunk of the history, and on until the watcher is level.
    fn run_errand(&mut self) -> bool {
        let Some(errand) = self.outlet.errands.pop() else { return false };
        let mut from = errand.from;
        while errand.life.goes_on() {
            match read(&self.memory, errand.watch, &errand.spec, from, 2, LIMITS.message_bytes).unwrap() {
                Chunk::Compacted { compacted, revision } => {
                    self.outlet.queued.push_back(Message::Canceled {
                        watch: errand.watch,
                        revision,
                        compacted: Some(compacted),
                    });
                    self.hub.forget(S, errand.watch);
                    break;
                }
                Chunk::Part { messages, next, level } => {
                    self.outlet.queued.extend(messages); // the reader waits for room
                    from = next;
                    if level {
                        self.hub.level(S, errand.watch, next, &self.memory, NOW, &mut self.outlet).unwrap();
                        break;
                    }
                }
            }
        }
        true
    }

    fn taken(&mut self) -> Vec<Message> {
        self.outlet.queued.drain(..).collect()
    }
}

fn events_of(messages: &[Message], id: WatchId) -> Vec<(i64, String, bool)> {
    let mut found = Vec::new();
    for message in messages {
        if let Message::Events { watch, events, .. } = message
            && *watch == id
        {
            for event in events {
                let event = mvccpb::Event::decode(event.clone()).unwrap();
                let pair = event.kv.unwrap();
                found.push((pair.mod_revision, String::from_utf8(pair.key.to_vec()).unwrap(), event.prev_kv.is_some()));
            }
        }
    }
    found
}

fn request(key: &'static str, end: &'static str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: key.into(), range_end: end.into(), start_revision, ..WatchCreateRequest::default() }
}

#[test]
fn created_comes_first_and_ids_are_chosen() {
    let mut rig = Rig::new(100);
    rig.put("a");
    rig.watch(&request("a", "", 2));
    rig.watch(&request("a", "", 0));
    rig.watch(&WatchCreateRequest { watch_id: 1, ..request("a", "", 0) });
    rig.watch(&request("b", "a", 0));
    rig.watch(&request("a", "", -1));
    rig.put("a");
    while rig.run_errand() {}
    let messages = rig.taken();
    let created: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Created { watch, invalid, .. } => Some((watch.0, *invalid)),
            _ => None,
        })
        .collect();
    assert_eq!(
        created,
        [
            (0, None),
            (1, None),
            (-1, Some(Invalid::DuplicateId)),
            (-1, Some(Invalid::EmptyRange)),
            (-1, Some(Invalid::NegativeStart))
        ]
    );
    assert_eq!(events_of(&messages, WatchId(0)), [(2, "a".into(), false), (3, "a".into(), false)]);
    assert_eq!(events_of(&messages, WatchId(1)), [(3, "a".into(), false)]);
}

#[test]
fn filters_and_previous_pairs() {
    let mut rig = Rig::new(100);
    rig.watch(&WatchCreateRequest { filters: vec![0], prev_kv: true, ..request("a", "", 0) });
    rig.watch(&WatchCreateRequest { filters: vec![1], prev_kv: true, ..request("a", "", 0) });
    rig.put("a");
    rig.put("a");
    rig.delete("a");
    let messages = rig.taken();
    assert_eq!(events_of(&messages, WatchId(0)), [(4, "a".into(), true)]);
    assert_eq!(events_of(&messages, WatchId(1)), [(2, "a".into(), false), (3, "a".into(), true)]);
}

#[test]
fn progress_waits_until_every_watcher_is_level() {
    let mut rig = Rig::new(100);
    rig.hub.progress(S, &mut rig.outlet);
    assert_eq!(rig.taken(), [], "no watcher, no progress");
    rig.put("a");
    rig.watch(&request("a", "", 1));
    rig.taken();
    rig.hub.progress(S, &mut rig.outlet);
    assert_eq!(rig.taken(), []);
    while rig.run_errand() {}
    rig.taken();
    rig.hub.progress(S, &mut rig.outlet);
    assert_eq!(rig.taken(), [Message::Progress { watch: WatchId::NONE, revision: Revision(2) }]);
    rig.watch(&request("a", "", 9));
    rig.taken();
    rig.hub.progress(S, &mut rig.outlet);
    assert_eq!(rig.taken(), [], "a watcher of the future is not level");
    for _ in 0..7 {
        rig.put("a");
    }
    let messages = rig.taken();
    assert_eq!(events_of(&messages, WatchId(1)), [(9, "a".into(), false)]);
    rig.hub.progress(S, &mut rig.outlet);
    assert_eq!(rig.taken(), [Message::Progress { watch: WatchId::NONE, revision: Revision(9) }]);
}

#[test]
fn idle_watchers_that_ask_for_it_are_told() {
    let mut rig = Rig::new(100);
    rig.watch(&WatchCreateRequest { progress_notify: true, ..request("a", "", 0) });
    rig.watch(&request("a", "", 0));
    rig.taken();
    rig.hub.tick(Duration::from_secs(599), &mut rig.outlet);
    assert_eq!(rig.taken(), []);
    rig.hub.tick(Duration::from_mins(10), &mut rig.outlet);
    assert_eq!(rig.taken(), [Message::Progress { watch: WatchId(0), revision: Revision(1) }]);
    rig.hub.tick(Duration::from_secs(601), &mut rig.outlet);
    assert_eq!(rig.taken(), []);
}

#[test]
fn compacted_history_cancels() {
    let mut rig = Rig::new(100);
    for _ in 0..5 {
        rig.put("a");
    }
    rig.state.compacted = Revision(4);
    let (key, value) = rig.state.record();
    let mut overlay = Overlay::new(&rig.memory);
    overlay.put(Space::Meta, key, value);
    let writes = overlay.into_writes();
    rig.memory.absorb(writes);
    rig.watch(&request("a", "", 3));
    rig.watch(&request("a", "", 4));
    while rig.run_errand() {}
    let messages = rig.taken();
    let canceled = Message::Canceled { watch: WatchId(0), revision: Revision(6), compacted: Some(Revision(4)) };
    assert!(messages.contains(&canceled));
    assert_eq!(events_of(&messages, WatchId(0)), []);
    assert_eq!(events_of(&messages, WatchId(1)).len(), 3);
    rig.hub.cancel(S, WatchId(0), &mut rig.outlet);
    assert_eq!(rig.taken(), [], "it is gone already");
}

#[test]
fn large_revisions_are_split_only_where_allowed() {
    let spec = |fragment| Spec::new(&WatchCreateRequest { fragment, ..request("a", "", 0) }).unwrap();
    let events = || (0..6).map(|index| (Revision(2 + index / 3), Bytes::from(vec![0; 400])));
    let shape = |fragment| -> Vec<(usize, bool)> {
        pack(WatchId(0), &spec(fragment), Revision(3), events(), 1000)
            .into_iter()
            .map(|message| match message {
                Message::Events { events, fragment, .. } => (events.len(), fragment),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(shape(false), [(3, false), (3, false)]);
    // The client puts marked pieces together with what follows: a piece may hold the end of one revision and the start of
    // the next.
    assert_eq!(shape(true), [(2, true), (2, true), (2, false)]);
}

/// Every schedule of writes, reading, falling behind and catching up gives each watcher every change once and in order.
#[test]
fn nobody_misses_or_repeats_a_change_whatever_the_schedule() {
    for seed in 1..=200u64 {
        let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = move |below: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % below
        };
        let mut rig = Rig::new(4);
        let mut seen = Vec::new();
        let mut starts = Vec::new();
        for _ in 0..120 {
            match roll(9) {
                8 => rig.jump(["a", "b", "c"][roll(3) as usize]),
                0..=3 => rig.put(["a", "b", "c"][roll(3) as usize]),
                4 => seen.extend(rig.taken()),
                5 => {
                    rig.run_errand();
                }
                6 if starts.len() < 5 => {
                    let start = roll(2) * (1 + roll(rig.state.revision.0 as u64 + 5));
                    starts.push(if start == 0 { rig.state.revision.0 + 1 } else { start as i64 });
                    rig.watch(&WatchCreateRequest { prev_kv: true, ..request("a", "c", start as i64) });
                }
                _ => rig.hub.progress(S, &mut rig.outlet),
            }
        }
        while rig.run_errand() || !rig.outlet.queued.is_empty() {
            seen.extend(rig.taken());
        }
        let spec = Spec::new(&request("a", "c", 1)).unwrap();
        let Chunk::Part { messages, .. } =
            read(&rig.memory, WatchId(0), &spec, Revision(1), usize::MAX, usize::MAX).unwrap()
        else {
            panic!("nothing is compacted")
        };
        let all = events_of(&messages, WatchId(0));
        for (id, start) in starts.iter().enumerate() {
            let expected: Vec<_> =
                all.iter().filter(|(revision, ..)| revision >= start).map(|(r, k, _)| (*r, k.clone())).collect();
            let got: Vec<_> = events_of(&seen, WatchId(id as i64)).into_iter().map(|(r, k, _)| (r, k)).collect();
            assert_eq!(got, expected, "seed {seed}, watcher {id}");
        }
        // Whoever existed when progress was told has everything up to there.
        let (mut created, mut told) = (0, (Revision(0), 0));
        for message in &seen {
            match message {
                Message::Progress { revision, .. } => told = (*revision, created),
                Message::Events { watch, .. } if watch.0 < told.1 => {
                    for (revision, ..) in events_of(std::slice::from_ref(message), *watch) {
                        assert!(revision > told.0.0, "seed {seed}: progress {} before event {revision}", told.0);
                    }
                }
                Message::Created { .. } => created += 1,
                Message::Events { .. } | Message::Canceled { .. } => {}
            }
        }
    }
}

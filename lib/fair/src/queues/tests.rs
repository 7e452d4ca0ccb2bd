//! A server in virtual time: flows that ask, and what each gets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(milliseconds: u64) -> Moment {
    Moment::after(Duration::from_millis(milliseconds))
}

const QUEUING: Discipline = Discipline::Queue { queues: 64, hand: 4, length: 50 };

fn seats(initial: u64) -> Width {
    Width { initial, ..Width::ONE }
}

fn served(arrival: Arrival) -> Ticket {
    match arrival {
        Arrival::Served(ticket) => ticket,
        other => panic!("not served: {other:?}"),
    }
}

fn waiting(arrival: Arrival) -> Ticket {
    match arrival {
        Arrival::Waiting(ticket) => ticket,
        other => panic!("not waiting: {other:?}"),
    }
}

#[test]
fn without_queues_what_has_no_room_is_refused() {
    let mut queues = Queues::new(Discipline::Reject, 2);
    let first = served(queues.arrive(at(0), Width::ONE, 0));
    served(queues.arrive(at(0), Width::ONE, 0));
    assert_eq!(queues.arrive(at(0), Width::ONE, 0), Arrival::Refused(Refusal::ConcurrencyLimit));
    assert_eq!(queues.leave(at(1), first), Departure::Served(None));
    served(queues.arrive(at(1), Width::ONE, 0));
}

#[test]
fn an_exempt_level_has_room_for_all() {
    let mut queues = Queues::new(Discipline::Exempt, 0);
    for _ in 0..1000 {
        served(queues.arrive(at(0), seats(10), 0));
    }
    assert_eq!(queues.counts().seats, 10_000);
}

#[test]
fn a_full_queue_refuses_and_others_do_not() {
    let mut queues = Queues::new(Discipline::Queue { queues: 8, hand: 1, length: 2 }, 1);
    served(queues.arrive(at(0), Width::ONE, 0));
    waiting(queues.arrive(at(0), Width::ONE, 0));
    waiting(queues.arrive(at(0), Width::ONE, 0));
    assert_eq!(queues.arrive(at(0), Width::ONE, 0), Arrival::Refused(Refusal::QueueFull));
    waiting(queues.arrive(at(0), Width::ONE, 1));
}

#[test]
fn who_leaves_the_line_is_never_called() {
    let mut queues = Queues::new(QUEUING, 1);
    let first = served(queues.arrive(at(0), Width::ONE, 0));
    let second = waiting(queues.arrive(at(0), Width::ONE, 0));
    let third = waiting(queues.arrive(at(0), Width::ONE, 0));
    assert_eq!(queues.leave(at(1), second), Departure::Waited);
    assert_eq!(queues.leave(at(1), second), Departure::Unknown);
    queues.leave(at(2), first);
    assert_eq!(queues.dispatched(), [third]);
    assert!(queues.is_served(third));
    queues.leave(at(3), third);
    assert!(queues.is_idle());
    assert_eq!(queues.counts(), Counts::default());
}

#[test]
fn seats_of_lingering_requests_stay_taken() {
    let mut queues = Queues::new(QUEUING, 4);
    let wide = Width { initial: 1, last: 8, lingering: Duration::from_millis(5) };
    let first = served(queues.arrive(at(0), wide, 0));
    let second = waiting(queues.arrive(at(0), Width::ONE, 1));
    // Eight seats for five milliseconds are four seats for ten.
    assert_eq!(queues.leave(at(1), first), Departure::Served(Some(Duration::from_millis(10))));
    assert_eq!(queues.dispatched(), []);
    queues.release(at(11), first);
    assert_eq!(queues.dispatched(), [second]);
    queues.release(at(12), second);
    assert!(queues.is_served(second));
}

#[test]
fn a_request_wider_than_the_level_is_served_alone() {
    let mut queues = Queues::new(QUEUING, 3);
    let narrow = served(queues.arrive(at(0), Width::ONE, 0));
    let wide = waiting(queues.arrive(at(0), seats(7), 1));
    assert_eq!(queues.unaccommodated(), 1);
    queues.leave(at(1), narrow);
    assert_eq!(queues.dispatched(), [wide]);
    waiting(queues.arrive(at(1), Width::ONE, 0));
}

#[test]
fn a_wider_limit_lets_those_go_who_wait() {
    let mut queues = Queues::new(QUEUING, 1);
    served(queues.arrive(at(0), Width::ONE, 0));
    let second = waiting(queues.arrive(at(0), Width::ONE, 1));
    queues.configure(at(1), QUEUING, 2);
    assert_eq!(queues.dispatched(), [second]);
}

#[test]
fn queues_too_many_go_when_they_are_empty() {
    let mut queues = Queues::new(Discipline::Queue { queues: 4, hand: 4, length: 9 }, 1);
    let mut tickets = vec![served(queues.arrive(at(0), Width::ONE, 0))];
    tickets.extend((0..8).map(|_| waiting(queues.arrive(at(0), Width::ONE, 0))));
    queues.configure(at(1), Discipline::Queue { queues: 1, hand: 1, length: 9 }, 1);
    assert_eq!(queues.view().count(), 4);
    for (step, ticket) in tickets.into_iter().enumerate() {
        queues.leave(at(2 + step as u64), ticket);
        queues.dispatched();
    }
    assert!(queues.is_idle());
    assert_eq!(queues.view().count(), 1);
    served(queues.arrive(at(20), Width::ONE, 5));
}

/// The hash of the flow of this number, with entropy in all its bits.
fn flow(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A level in which every request takes `took`, and each flow always has as many asking as it wants.
fn run(limit: u64, wanted: &[(u64, usize, Width)], took: u64, milliseconds: u64) -> Vec<u64> {
    let mut queues = Queues::new(Discipline::Queue { queues: 128, hand: 6, length: 50 }, limit);
    let mut here: Vec<BTreeSet<Ticket>> = vec![BTreeSet::new(); wanted.len()];
    let mut ends: BTreeSet<(u64, Ticket)> = BTreeSet::new();
    let mut got = vec![0; wanted.len()];
    for now in 0..milliseconds {
        while let Some((_, ticket)) = ends.first().copied().filter(|(end, _)| *end <= now) {
            ends.pop_first();
            queues.leave(at(now), ticket);
            let flow = here.iter().position(|tickets| tickets.contains(&ticket)).expect("it is somebody's");
            here[flow].remove(&ticket);
            got[flow] += wanted[flow].2.seats();
        }
        for (flow, (hash, many, width)) in wanted.iter().enumerate() {
            while here[flow].len() < *many {
                match queues.arrive(at(now), *width, *hash) {
                    Arrival::Served(ticket) => {
                        here[flow].insert(ticket);
                        ends.insert((now + took, ticket));
                    }
                    Arrival::Waiting(ticket) => {
                        here[flow].insert(ticket);
                    }
                    Arrival::Refused(_) => break,
                }
            }
        }
        ends.extend(queues.dispatched().into_iter().map(|ticket| (now + took, ticket)));
        assert!(queues.counts().seats <= limit, "{:?} of {limit}", queues.counts());
    }
    got
}

#[test]
fn an_elephant_leaves_a_mouse_all_it_asks_for() {
    let got = run(10, &[(flow(0), 200, Width::ONE), (flow(1), 1, Width::ONE)], 10, 4000);
    // One request of ten milliseconds after the other, with some waiting for a seat to get free.
    assert!(got[1] >= 180, "{got:?}");
    assert!(got[0] >= 3000, "{got:?}");
}

#[test]
fn flows_that_want_all_get_the_same() {
    let flows: Vec<_> = (0..4).map(|number| (flow(number), 60, Width::ONE)).collect();
    let got = run(8, &flows, 5, 4000);
    let (least, most) = (got.iter().min().expect("some"), got.iter().max().expect("some"));
    assert!(most - least <= most / 4, "{got:?}");
}

#[test]
fn wide_requests_do_not_get_more_than_narrow_ones() {
    let got = run(8, &[(flow(0), 60, seats(4)), (flow(1), 60, Width::ONE)], 5, 4000);
    assert!(got[0].abs_diff(got[1]) <= got[0].max(got[1]) / 4, "{got:?}");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive { initial: u64, last: u64, lingering: u64, flow: u64 },
    Leave(usize),
    Release(usize),
    Configure { queues: usize, limit: u64 },
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        6 => (1_u64..12, 0_u64..12, 0_u64..9, any::<u64>())
            .prop_map(|(initial, last, lingering, flow)| Step::Arrive { initial, last, lingering, flow }),
        5 => any::<usize>().prop_map(Step::Leave),
        2 => any::<usize>().prop_map(Step::Release),
        1 => (0_usize..9, 0_u64..20).prop_map(|(queues, limit)| Step::Configure { queues, limit }),
    ];
    (0_u64..5, step)
}

proptest! {
    #[test]
    fn figures_agree_limits_hold_and_nobody_is_forgotten(steps in prop::collection::vec(step(), 1..300)) {
        let discipline = |queues| match queues {
            0 => Discipline::Reject,
            _ => Discipline::Queue { queues, hand: 3, length: 4 },
        };
        let mut queues = Queues::new(discipline(4), 10);
        let (mut executing, mut waiting, mut lingering) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = 0;
        for (passed, step) in steps {
            now += passed;
            let before = queues.counts().seats;
            match step {
                Step::Arrive { initial, last, lingering, flow } => {
                    let lingering = Duration::from_millis(if last > 0 { lingering } else { 0 });
                    match queues.arrive(at(now), Width { initial, last, lingering }, flow) {
                        Arrival::Served(ticket) => executing.push(ticket),
                        Arrival::Waiting(ticket) => waiting.push(ticket),
                        Arrival::Refused(_) => {}
                    }
                }
                Step::Leave(which) if !executing.is_empty() || !waiting.is_empty() => {
                    let which = which % (executing.len() + waiting.len());
                    if which < executing.len() {
                        let ticket = executing.swap_remove(which);
                        match queues.leave(at(now), ticket) {
                            Departure::Served(None) => {}
                            Departure::Served(Some(_)) => lingering.push(ticket),
                            other => prop_assert!(false, "{other:?}"),
                        }
                    } else {
                        let ticket = waiting.swap_remove(which - executing.len());
                        prop_assert_eq!(queues.leave(at(now), ticket), Departure::Waited);
                    }
                }
                Step::Release(which) if !lingering.is_empty() => {
                    let ticket = lingering.swap_remove(which % lingering.len());
                    queues.release(at(now), ticket);
                }
                Step::Leave(_) | Step::Release(_) => {}
                Step::Configure { queues: wanted, limit } => queues.configure(at(now), discipline(wanted), limit),
            }
            for ticket in queues.dispatched() {
                let place = waiting.iter().position(|one| *one == ticket);
                prop_assert!(place.is_some(), "{ticket:?} was called and did not wait");
                executing.push(waiting.swap_remove(place.unwrap_or_default()));
            }
            let counts = queues.counts();
            prop_assert_eq!((counts.executing, counts.waiting), (executing.len(), waiting.len()));
            let alone = executing.len() + lingering.len() == 1;
            prop_assert!(counts.seats <= before.max(queues.limit()) || alone, "{:?} of {}", counts, queues.limit());
            // Somebody waits only while there is no room for the next.
            prop_assert!(waiting.is_empty() || counts.seats > 0 || queues.limit() == 0);
            let shown: usize = queues.view().map(|queue| queue.waiting.len()).sum();
            prop_assert_eq!(shown, waiting.len());
        }
        queues.configure(at(now), discipline(4), 10);
        while !queues.is_idle() {
            now += 1;
            for ticket in queues.dispatched() {
                waiting.retain(|one| *one != ticket);
                executing.push(ticket);
            }
            let gone = std::mem::take(&mut executing);
            prop_assert!(!gone.is_empty() || !lingering.is_empty(), "{} wait for ever", waiting.len());
            for ticket in gone {
                if let Departure::Served(Some(_)) = queues.leave(at(now), ticket) {
                    lingering.push(ticket);
                }
            }
            for ticket in lingering.drain(..) {
                queues.release(at(now), ticket);
            }
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(queues.counts(), Counts::default());
    }
}

//! How several members that were started together become one cluster. No I/O.
//!
//! Every member makes up its id at random and writes it down before it tells anybody. It then asks all the others, again
//! and again, and decides by one round of answers:
//!
//! ```text
//!   somebody has a roster with my name and id   ->  take it over
//!   somebody has a roster with my name, not my id  ->  I am a member that lost its disk: refuse
//!   everybody answered, nobody has a roster     ->  write one down with the ids I was told
//!   else                                        ->  ask again
//! ```
//!
//! A roster is written down once and never changed, and its cluster id is made from the ids in it. An id therefore stands
//! for one disk: a member that comes back with an empty one has another id, and no old vote or acknowledgement of it can
//! count twice. Two rosters can come to be only when a disk is lost in the middle of this; of them at most one finds a
//! majority, because a member that wrote one down never acts for the other.

use proto::peer::Introduction;
use proto::store::{Founder, Roster};

/// What the command line says about a new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The cluster's token.
    pub token: String,
    /// Names and peer URLs, sorted.
    members: Vec<(String, Vec<String>)>,
}

/// What a round of answers leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// This is the cluster.
    Settled(Roster),
    /// Others must be asked again: these did not answer.
    Ask(Vec<String>),
    /// The cluster is there already, and this name belongs to a member with another disk.
    Bootstrapped,
    /// Two members wrote down different rosters: one of them lost its disk while the cluster was founded.
    Conflict,
}

impl Plan {
    /// A plan; the order in which members and URLs are named does not matter.
    #[must_use]
    pub fn new(token: String, members: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        for (_, urls) in &mut members {
            urls.sort();
        }
        members.sort();
        Self { token, members }
    }

    /// Names and peer URLs, sorted.
    #[must_use]
    pub fn members(&self) -> &[(String, Vec<String>)] {
        &self.members
    }

    /// All of it as bytes that are equal only for equal plans.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut push = |text: &str| {
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        push(&self.token);
        for (name, urls) in &self.members {
            push(name);
            push(&urls.len().to_string());
            for url in urls {
                push(url);
            }
        }
        out
    }

    /// Decides by one round of answers, given to the member `name` with this `id`.
    #[must_use]
    pub fn decide(&self, name: &str, id: u64, answers: &[Introduction]) -> Outcome {
        let mut settled: Option<&Roster> = None;
        for roster in answers.iter().filter_map(|answer| answer.roster.as_ref()) {
            if settled.is_some_and(|other| other != roster) {
                return Outcome::Conflict;
            }
            settled = Some(roster);
        }
        if let Some(roster) = settled {
            let me = roster.founders.iter().any(|founder| founder.name == name && founder.id == id);
            return if me { Outcome::Settled(roster.clone()) } else { Outcome::Bootstrapped };
        }
        let told = |other: &str| {
            if other == name {
                return Some(id);
            }
            answers.iter().find(|answer| answer.name == other).map(|answer| answer.id)
        };
        let mut silent = Vec::new();
        let mut founders = Vec::new();
        for (name, peer_urls) in &self.members {
            match told(name) {
                Some(id) => founders.push(Founder { name: name.clone(), peer_urls: peer_urls.clone(), id }),
                None => silent.push(name.clone()),
            }
        }
        if !silent.is_empty() {
            return Outcome::Ask(silent);
        }
        let cluster_id = cluster_id(&self.token, founders.iter().map(|founder| founder.id));
        Outcome::Settled(Roster { cluster_id, founders })
    }
}

/// The id of the cluster that these members found: never 0.
fn cluster_id(token: &str, ids: impl Iterator<Item = u64>) -> u64 {
    // FNV-1a with a final mix. Ids are random, so it only has to keep different lists apart.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    token.bytes().for_each(&mut mix);
    mix(0);
    ids.flat_map(u64::to_be_bytes).for_each(&mut mix);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let member = |name: &str| (name.to_owned(), vec![format!("https://{name}:2380")]);
        Plan::new("token".into(), [member("c"), member("a"), member("b")])
    }

    fn answer(name: &str, id: u64, roster: Option<&Roster>) -> Introduction {
        Introduction { name: name.into(), id, roster: roster.cloned(), ..Introduction::default() }
    }

    #[test]
    fn everybody_comes_to_the_same_roster() {
        let ids = [("a", 1), ("b", 2), ("c", 3)];
        let rosters: Vec<_> = ids
            .iter()
            .map(|(name, id)| {
                let others: Vec<_> =
                    ids.iter().filter(|(other, _)| other != name).map(|(other, id)| answer(other, *id, None)).collect();
                plan().decide(name, *id, &others)
            })
            .collect();
        assert!(
            matches!(&rosters[0], Outcome::Settled(roster) if roster.founders.len() == 3 && roster.cluster_id != 0)
        );
        assert!(rosters.iter().all(|roster| *roster == rosters[0]));
    }

    #[test]
    fn nothing_is_settled_before_everybody_answered() {
        assert_eq!(plan().decide("a", 1, &[answer("c", 3, None)]), Outcome::Ask(vec!["b".into()]));
    }

    #[test]
    fn what_is_settled_is_taken_over_even_when_somebody_is_silent() {
        let Outcome::Settled(roster) = plan().decide("a", 1, &[answer("b", 2, None), answer("c", 3, None)]) else {
            panic!("not settled")
        };
        assert_eq!(plan().decide("b", 2, &[answer("a", 1, Some(&roster))]), Outcome::Settled(roster.clone()));
        // The same name with another disk is somebody else.
        assert_eq!(plan().decide("b", 9, &[answer("a", 1, Some(&roster))]), Outcome::Bootstrapped);
        let mut other = roster.clone();
        other.founders[1].id = 9;
        let answers = [answer("a", 1, Some(&roster)), answer("c", 3, Some(&other))];
        assert_eq!(plan().decide("b", 9, &answers), Outcome::Conflict);
    }

    #[test]
    fn a_plan_is_the_same_in_any_order_and_differs_by_every_part() {
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        let one = Plan::new("t".into(), [("a".into(), urls(&["x", "y"])), ("b".into(), urls(&["z"]))]);
        let same = Plan::new("t".into(), [("b".into(), urls(&["z"])), ("a".into(), urls(&["y", "x"]))]);
        assert_eq!((one.bytes(), &one), (same.bytes(), &same));
        for other in [
            Plan::new("u".into(), [("a".into(), urls(&["x", "y"])), ("b".into(), urls(&["z"]))]),
            Plan::new("t".into(), [("a".into(), urls(&["x"])), ("b".into(), urls(&["y", "z"]))]),
            Plan::new("t".into(), [("a".into(), urls(&["x", "y"]))]),
        ] {
            assert_ne!(one.bytes(), other.bytes());
        }
    }
}

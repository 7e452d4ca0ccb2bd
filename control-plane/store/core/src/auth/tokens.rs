//! The tokens a member knows. Time is an argument: what has passed since the process started.
//!
//! Tokens come through the log, so that every member knows them, and are kept in memory only. A member that has not read
//! that part of the log, because it began anew or took the state over as a whole, asks one that has. Each use of a token
//! gives it its whole time again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Tokens at the same time. Beyond it the one that was not used for the longest time goes: its client authenticates again.
const MAX_TOKENS: usize = 10_000;

/// What members are told of tokens by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenChange {
    /// A user has a new token.
    Granted {
        /// The user.
        user: String,
        /// The token.
        token: String,
    },
    /// The tokens of a user are void.
    Revoked {
        /// The user.
        user: String,
    },
    /// All tokens are void.
    AllRevoked,
}

/// When a token was last used, and a number that tells apart what happened at the same moment.
type Used = (Duration, u64);

#[derive(Debug)]
struct Held {
    user: Arc<str>,
    used: Used,
}

/// Every token, with the user it stands for.
#[derive(Debug)]
pub struct Tokens {
    ttl: Duration,
    held: HashMap<Arc<str>, Held>,
    order: BTreeMap<Used, Arc<str>>,
    uses: u64,
    revocations: u64,
}

impl Tokens {
    /// No tokens; later ones are good for `ttl` after their last use.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, held: HashMap::new(), order: BTreeMap::new(), uses: 0, revocations: 0 }
    }

    /// Follows what was applied.
    pub fn follow(&mut self, change: &TokenChange, now: Duration) {
        match change {
            TokenChange::Granted { user, token } => self.hold(user, token, now),
            TokenChange::Revoked { user } => {
                self.revocations += 1;
                let void: Vec<_> = self
                    .held
                    .iter()
                    .filter(|(_, held)| *held.user == **user)
                    .map(|(token, _)| Arc::clone(token))
                    .collect();
                for token in void {
                    self.forget(&token);
                }
            }
            TokenChange::AllRevoked => {
                self.revocations += 1;
                self.held.clear();
                self.order.clear();
            }
        }
    }

    /// How often tokens were taken back.
    #[must_use]
    pub fn revocations(&self) -> u64 {
        self.revocations
    }

    /// Another member said whose token this is; it was asked when tokens had been taken back `revocations` times here. If
    /// some were since, this may be one of them, and is not kept.
    pub fn learn(&mut self, user: &str, token: &str, revocations: u64, now: Duration) {
        if self.revocations == revocations {
            self.hold(user, token, now);
        }
    }

    /// The user a token stands for; it counts as used.
    pub fn user(&mut self, token: &str, now: Duration) -> Option<Arc<str>> {
        self.expire(now);
        let used = self.use_at(now);
        let (token, held) = (self.held.get_key_value(token)?.0.clone(), self.held.get_mut(token)?);
        self.order.remove(&held.used);
        held.used = used;
        self.order.insert(used, token);
        Some(Arc::clone(&held.user))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn hold(&mut self, user: &str, token: &str, now: Duration) {
        self.forget(token);
        let (token, used): (Arc<str>, _) = (token.into(), self.use_at(now));
        self.order.insert(used, Arc::clone(&token));
        self.held.insert(token, Held { user: user.into(), used });
        self.expire(now);
        while self.held.len() > MAX_TOKENS {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.held.remove(&oldest);
        }
    }

    fn use_at(&mut self, now: Duration) -> Used {
        self.uses += 1;
        (now, self.uses)
    }

    fn forget(&mut self, token: &str) {
        if let Some(held) = self.held.remove(token) {
            self.order.remove(&held.used);
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some((&(used, number), token)) = self.order.first_key_value() {
            if used.saturating_add(self.ttl) > now {
                return;
            }
            self.held.remove(token);
            self.order.remove(&(used, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn grant(tokens: &mut Tokens, user: &str, token: &str, now: u64) {
        tokens.follow(&TokenChange::Granted { user: user.to_owned(), token: token.to_owned() }, at(now));
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_used() {
        let mut tokens = Tokens::new(at(10));
        grant(&mut tokens, "a", "t1", 0);
        grant(&mut tokens, "a", "t2", 0);
        assert_eq!(tokens.user("t1", at(9)).as_deref(), Some("a"));
        assert_eq!(tokens.user("t2", at(10)), None);
        assert_eq!(tokens.user("t1", at(18)).as_deref(), Some("a"));
        assert_eq!(tokens.user("t1", at(28)), None);
        assert!(tokens.is_empty() && tokens.order.is_empty());
    }

    #[test]
    fn tokens_are_taken_back_by_user_and_all_at_once() {
        let mut tokens = Tokens::new(at(10));
        for (user, token) in [("a", "t1"), ("b", "t2"), ("a", "t3")] {
            grant(&mut tokens, user, token, 0);
        }
        tokens.follow(&TokenChange::Revoked { user: "a".to_owned() }, at(1));
        assert_eq!((tokens.user("t1", at(1)), tokens.user("t3", at(1))), (None, None));
        assert_eq!(tokens.user("t2", at(1)).as_deref(), Some("b"));
        tokens.follow(&TokenChange::AllRevoked, at(1));
        assert_eq!(tokens.user("t2", at(1)), None);
    }

    #[test]
    fn what_another_member_says_counts_unless_tokens_were_taken_back_meanwhile() {
        let mut tokens = Tokens::new(at(10));
        let asked = tokens.revocations();
        tokens.learn("a", "t1", asked, at(1));
        assert_eq!(tokens.user("t1", at(2)).as_deref(), Some("a"));
        tokens.follow(&TokenChange::Revoked { user: "a".to_owned() }, at(3));
        tokens.learn("a", "t1", asked, at(4));
        assert_eq!(tokens.user("t1", at(4)), None);
        let asked = tokens.revocations();
        tokens.follow(&TokenChange::AllRevoked, at(5));
        tokens.learn("a", "t1", asked, at(5));
        assert!(tokens.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_drops_what_is_not_used() {
        let mut tokens = Tokens::new(at(1000));
        grant(&mut tokens, "a", "kept", 0);
        for number in 0..MAX_TOKENS {
            tokens.user("kept", at(1));
            grant(&mut tokens, "a", &number.to_string(), 1);
        }
        assert_eq!((tokens.len(), tokens.order.len()), (MAX_TOKENS, MAX_TOKENS));
        assert!(tokens.user("kept", at(2)).is_some());
        assert!(tokens.user("0", at(2)).is_none());
    }
}

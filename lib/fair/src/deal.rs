//! Shuffle sharding: each flow has a hand of queues, and two flows rarely have the same.

/// Deals `hand` different cards out of a deck of `deck` by the bits of `entropy`; every hand is about as likely as every other.
/// A hand larger than the deck is the deck.
pub fn deal(entropy: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut entropy = entropy;
    let mut cards: Vec<usize> = Vec::with_capacity(hand.min(deck));
    // Kept in order, so that a draw among the cards left can be told from the cards gone.
    let mut gone: Vec<usize> = Vec::with_capacity(hand.min(deck));
    for left in (deck.saturating_sub(hand) + 1..=deck).rev() {
        let mut card = (entropy % left as u64) as usize;
        entropy /= left as u64;
        let mut place = 0;
        while place < gone.len() && gone[place] <= card {
            card += 1;
            place += 1;
        }
        gone.insert(place, card);
        cards.push(card);
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_hand_has_different_cards_of_the_deck(entropy: u64, deck in 1_usize..200, hand in 1_usize..20) {
            let mut cards = deal(entropy, deck, hand);
            prop_assert_eq!(cards.len(), hand.min(deck));
            prop_assert!(cards.iter().all(|card| *card < deck));
            cards.sort_unstable();
            cards.dedup();
            prop_assert_eq!(cards.len(), hand.min(deck));
        }
    }

    #[test]
    fn every_hand_comes_up_as_often_as_every_other() {
        let mut seen: BTreeMap<Vec<usize>, u32> = BTreeMap::new();
        for entropy in 0..6000 {
            *seen.entry(deal(entropy, 5, 3)).or_default() += 1;
        }
        assert_eq!(seen.len(), 60);
        assert!(seen.values().all(|count| *count == 100));
    }
}

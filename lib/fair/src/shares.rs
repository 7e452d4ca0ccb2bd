//! How the seats of a server are divided among levels, and lent between them.

/// What a level is configured to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its part, in proportion to the sum of all levels' parts.
    pub shares: u32,
    /// How much of it others may borrow, in percent.
    pub lendable: u32,
    /// How much more than its part it may borrow, in percent of it; without a bound if none.
    pub borrowing: Option<u32>,
}

/// The seats a level may come to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Its part of the server.
    pub nominal: u64,
    /// What is left when all it may lend is lent.
    pub least: u64,
    /// What it has when it borrows all it may.
    pub most: u64,
}

impl Share {
    /// The bounds of this share in a server of `total` seats, where all levels' shares add up to `sum`. Parts are rounded up:
    /// the levels may have a little more than the server.
    pub fn bounds(&self, total: u64, sum: u64) -> Bounds {
        let nominal = (total * u64::from(self.shares)).div_ceil(sum.max(1));
        let percent = |percent: u32| (nominal as f64 * f64::from(percent) / 100.0).round() as u64;
        Bounds {
            nominal,
            least: nominal.saturating_sub(percent(self.lendable)),
            most: nominal + self.borrowing.map_or(total, percent),
        }
    }
}

/// What a level asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// It gets no less.
    pub least: f64,
    /// It gets no more.
    pub most: f64,
    /// It gets this, scaled by a factor that is the same for all.
    pub target: f64,
}

/// Who gets what.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    /// What each gets, in the order of the claims.
    pub parts: Vec<f64>,
    /// The factor.
    pub factor: f64,
}

/// A target must be divided by.
const SMALLEST: f64 = 0.001;
const EPSILON: f64 = 1e-7;

/// Divides `total`, so that the parts add up to it, each is within its bounds, and each that is not at one of them is its
/// target times one factor. `None` if the bounds do not allow that.
pub fn divide(total: u64, claims: &[Claim]) -> Option<Division> {
    let total = total as f64;
    let part = |claim: &Claim, factor: f64| (claim.target.max(SMALLEST) * factor).max(claim.least).min(claim.most);
    let sum = |factor: f64| claims.iter().map(|claim| part(claim, factor)).sum::<f64>();
    let least: f64 = claims.iter().map(|claim| claim.least).sum();
    let most: f64 = claims.iter().map(|claim| claim.most).sum();
    let sane = claims.iter().all(|claim| 0.0 <= claim.least && claim.least <= claim.most);
    if !sane || least - total > EPSILON || total - most > EPSILON {
        return None;
    }
    // The sum grows with the factor, in straight lines between the factors at which somebody meets a bound.
    let mut bends: Vec<f64> = claims
        .iter()
        .flat_map(|claim| [claim.least / claim.target.max(SMALLEST), claim.most / claim.target.max(SMALLEST)])
        .collect();
    bends.sort_by(f64::total_cmp);
    let mut low = 0.0;
    let mut factor = low;
    for high in bends {
        factor = high;
        let (below, above) = (sum(low), sum(high));
        if above >= total {
            if above > below {
                factor = low + (high - low) * ((total - below) / (above - below)).clamp(0.0, 1.0);
            }
            break;
        }
        low = high;
    }
    Some(Division { parts: claims.iter().map(|claim| part(claim, factor)).collect(), factor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_a_server_are_as_upstream_computes_them() {
        // The suggested levels of a server of 600 seats: shares add up to 245.
        let nominal = |shares| Share { shares, lendable: 0, borrowing: None }.bounds(600, 245).nominal;
        assert_eq!([30, 40, 10, 40, 100, 20, 5, 0].map(nominal), [74, 98, 25, 98, 245, 49, 13, 0]);
        let bounds = Share { shares: 100, lendable: 90, borrowing: Some(50) }.bounds(600, 245);
        assert_eq!(bounds, Bounds { nominal: 245, least: 24, most: 368 });
        assert_eq!(Share { shares: 0, lendable: 0, borrowing: None }.bounds(600, 245).most, 600);
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let claim = (0.0..50.0_f64, 0.0..100.0_f64, 0.0..80.0_f64).prop_map(|(least, room, more)| Claim {
            least,
            most: least + room,
            target: least + more,
        });
        prop::collection::vec(claim, 1..10)
    }

    proptest! {
        #[test]
        fn a_division_is_whole_within_bounds_and_in_proportion(claims in claims(), place in 0.0..1.0_f64) {
            let least: f64 = claims.iter().map(|claim| claim.least).sum();
            let most: f64 = claims.iter().map(|claim| claim.most).sum();
            let total = (least + (most - least) * place).ceil() as u64;
            prop_assume!(total as f64 <= most);
            let division = divide(total, &claims).expect("the bounds allow it");
            let sum: f64 = division.parts.iter().sum();
            prop_assert!((sum - total as f64).abs() < 1e-3, "{} of {}", sum, total);
            for (claim, part) in claims.iter().zip(&division.parts) {
                prop_assert!(claim.least - 1e-9 <= *part && *part <= claim.most + 1e-9);
                let wanted = claim.target.max(SMALLEST) * division.factor;
                let free = claim.least + 1e-6 < *part && *part < claim.most - 1e-6;
                prop_assert!(!free || (wanted - part).abs() < 1e-6);
            }
        }

        #[test]
        fn what_bounds_forbid_is_not_divided(claims in claims()) {
            let least: f64 = claims.iter().map(|claim| claim.least).sum();
            let most: f64 = claims.iter().map(|claim| claim.most).sum();
            prop_assert_eq!(divide(most.ceil() as u64 + 1, &claims), None);
            prop_assume!(least > 1.0);
            prop_assert_eq!(divide(least.floor() as u64 - 1, &claims), None);
        }
    }
}

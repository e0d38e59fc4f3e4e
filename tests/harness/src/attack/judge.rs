//! Who was believed to lead, and whether ever two at once.

use std::fmt;
use std::time::Duration;

/// What tells one tenure of a candidate from its next, as far as whoever looks can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenure {
    /// The file that was found.
    File {
        /// Of the file.
        inode: u64,
        /// Of the file, in seconds and nanoseconds.
        changed: (i64, i64),
    },
    /// The fencing token that was found.
    Token(u64),
    /// Looks that say nothing but yes or no.
    Unknown,
}

/// Looks without a no in between at which a candidate seemed to lead. Whoever looks may act from the beginning of the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belief {
    /// Index of the candidate.
    pub who: usize,
    /// Of it.
    pub tenure: Tenure,
    /// When the first of these looks began, on `CLOCK_BOOTTIME`.
    pub from: Duration,
    /// When the last of them began.
    pub to: Duration,
}

/// Two candidates that were believed in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The one that was first, and the other.
    pub who: [usize; 2],
    /// When the other was first believed to lead.
    pub from: Duration,
    /// Until the last look at which both were; up to two periods more in truth.
    pub lasting: Duration,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Each that was found.
    pub overlaps: Vec<Overlap>,
    /// The shortest time between the last look that found one leader and the first that found another.
    pub margin: Option<Duration>,
    /// How many tenures there were.
    pub tenures: usize,
    /// Pairs of tenures of which the later has no greater token.
    pub tokens_that_did_not_grow: Vec<[u64; 2]>,
    /// How often all candidates were looked at.
    pub rounds: u32,
    /// The longest time between two looks at one candidate: shorter overlaps may not have been seen.
    pub worst: Duration,
}

impl Verdict {
    /// Judges beliefs that are in the order of their beginnings.
    pub fn of(beliefs: &[Belief], rounds: u32, worst: Duration) -> Verdict {
        let mut verdict = Verdict {
            overlaps: Vec::new(),
            margin: None,
            tenures: beliefs.len(),
            tokens_that_did_not_grow: Vec::new(),
            rounds,
            worst,
        };
        for (index, next) in beliefs.iter().enumerate() {
            for before in &beliefs[..index] {
                verdict.compare(before, next);
            }
        }
        verdict
    }

    fn compare(&mut self, before: &Belief, next: &Belief) {
        if let (Tenure::Token(earlier), Tenure::Token(later)) = (before.tenure, next.tenure)
            && (later < earlier || (later == earlier && before.who != next.who))
        {
            self.tokens_that_did_not_grow.push([earlier, later]);
        }
        if before.who == next.who {
            return;
        }
        match next.from.checked_sub(before.to) {
            Some(margin) if !margin.is_zero() => {
                self.margin = Some(self.margin.map_or(margin, |least| least.min(margin)));
            }
            Some(_) | None => {
                let until = before.to.min(next.to);
                let lasting = until.saturating_sub(next.from);
                self.overlaps.push(Overlap { who: [before.who, next.who], from: next.from, lasting });
            }
        }
    }

    /// The longest overlap.
    pub fn largest(&self) -> Option<Duration> {
        self.overlaps.iter().map(|overlap| overlap.lasting).max()
    }

    /// Whether nobody can have acted beside anybody else.
    pub fn is_safe(&self) -> bool {
        self.overlaps.is_empty() && self.tokens_that_did_not_grow.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.largest() {
            Some(largest) => write!(f, "overlaps {} (largest {largest:.1?})", self.overlaps.len())?,
            None => write!(f, "overlap 0")?,
        }
        if let Some(margin) = self.margin {
            write!(f, ", margin {margin:.1?}")?;
        }
        if !self.tokens_that_did_not_grow.is_empty() {
            write!(f, ", tokens did not grow: {:?}", self.tokens_that_did_not_grow)?;
        }
        write!(f, ", {} tenures in {} looks, at worst {:.1?} apart", self.tenures, self.rounds, self.worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn belief(who: usize, from: u64, to: u64) -> Belief {
        Belief { who, tenure: Tenure::Unknown, from: ms(from), to: ms(to) }
    }

    fn of_token(who: usize, from: u64, token: u64) -> Belief {
        Belief { tenure: Tenure::Token(token), ..belief(who, from, from) }
    }

    fn verdict(beliefs: &[Belief]) -> Verdict {
        Verdict::of(beliefs, 1, ms(1))
    }

    #[test]
    fn who_leads_in_turn_does_not_overlap() {
        let found = verdict(&[belief(0, 0, 10), belief(1, 12, 20), belief(0, 25, 30), belief(0, 31, 40)]);
        assert_eq!((found.is_safe(), found.margin, found.tenures), (true, Some(ms(2)), 4));
        assert_eq!(found.largest(), None);
        assert!(verdict(&[]).is_safe());
    }

    #[test]
    fn a_planted_overlap_is_found_and_how_long_it_was() {
        let found = verdict(&[belief(0, 0, 10), belief(1, 3, 20)]);
        assert_eq!(found.overlaps, [Overlap { who: [0, 1], from: ms(3), lasting: ms(7) }]);
        assert_eq!((found.is_safe(), found.margin, found.largest()), (false, None, Some(ms(7))));
        // One within the other, and one that is no longer than a look.
        let found = verdict(&[belief(2, 0, 30), belief(1, 5, 6), belief(0, 9, 9)]);
        assert_eq!(found.overlaps.iter().map(|overlap| overlap.lasting).collect::<Vec<_>>(), [ms(1), ms(0)]);
        // The last look at one is the first at the other.
        assert!(!verdict(&[belief(0, 0, 3), belief(1, 3, 4)]).is_safe());
    }

    #[test]
    fn an_overlap_with_one_that_began_long_before_is_found() {
        let mut beliefs = vec![belief(9, 0, 1000)];
        beliefs.extend((1..5).map(|who| belief(who, 2000 * who as u64, 2000 * who as u64 + 100)));
        assert!(verdict(&beliefs).is_safe());
        beliefs[0].to = ms(4050);
        assert_eq!(verdict(&beliefs).overlaps.len(), 2);
    }

    #[test]
    fn tokens_grow_from_one_to_the_next() {
        assert!(verdict(&[of_token(0, 0, 5), of_token(0, 1, 5), of_token(1, 2, 6)]).is_safe());
        let found = verdict(&[of_token(0, 0, 5), of_token(1, 2, 5), of_token(0, 3, 4)]);
        assert_eq!(found.tokens_that_did_not_grow, [[5, 5], [5, 4], [5, 4]]);
        assert!(!found.is_safe());
    }

    #[test]
    fn it_is_told_in_a_line() {
        let told = verdict(&[belief(0, 0, 10), belief(1, 3, 20), belief(0, 25, 30)]).to_string();
        assert_eq!(told, "overlaps 1 (largest 7.0ms), margin 5.0ms, 3 tenures in 1 looks, at worst 1.0ms apart");
    }
}

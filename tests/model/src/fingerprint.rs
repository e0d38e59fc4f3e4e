//! When two states are the same: if whatever can follow one of them can follow the other.
//!
//! An [`Election`](elector_election::Election) keeps its state to itself, but says it all to a [`Hasher`]. The numbers that a world uses tell their
//! meaning by their size, so that the hasher can replace what only differs by when it happened:
//!
//! - a reading of a clock by its age on that clock, saturated beyond the longest wait: only differences are ever
//!   compared with a wait;
//! - versions by their rank among those still known: they are only compared with each other, and new ones are later
//!   than all before;
//! - timestamps, and names that begin with `#` (of Leases, of processes), by where they first stand: they are only equal or not,
//!   and new ones are like none before;
//! - transitions by their order, and by their distance up to [`GAP`]: they are compared with each other, and counted up by one.
//!
//! A number that is not recognised stays as it is: that costs time, not truth. That two states of one fingerprint do go on in the same way
//! is looked at during each search, for some of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use elector_election::Moment;

/// Versions begin here.
pub(crate) const VERSIONS: u64 = 1 << 48;
/// Seconds of `CLOCK_BOOTTIME` begin here.
pub(crate) const BOOTTIME: u64 = 1 << 32;
/// Seconds of `CLOCK_MONOTONIC_RAW` begin here.
pub(crate) const MONOTONIC_RAW: u64 = 1 << 40;
/// Transitions of a Lease that was held before begin here.
pub(crate) const TRANSITIONS: u32 = 1 << 20;

/// The distance beyond which transitions are just far from each other.
pub(crate) const GAP: u64 = 3;

#[derive(Debug, Clone, Copy)]
enum Token {
    Word(u64),
    Version(u64),
    Transitions(u32),
    /// Which of the different ones it is.
    Timestamp(usize),
    Name(usize),
}

/// Takes in what a state consists of.
#[derive(Debug)]
pub(crate) struct Canon {
    now: Moment,
    longest_wait: Duration,
    /// Perhaps of a duration, whose nanoseconds are yet to come.
    seconds: Option<u64>,
    tokens: Vec<Token>,
    timestamps: Vec<i64>,
    names: Vec<Vec<u8>>,
}

impl Canon {
    pub(crate) fn new(longest_wait: Duration) -> Canon {
        let now = Moment { boottime: Duration::ZERO, monotonic_raw: Duration::ZERO };
        let (timestamps, names) = (Vec::with_capacity(32), Vec::with_capacity(8));
        Canon { now, longest_wait, seconds: None, tokens: Vec::with_capacity(512), timestamps, names }
    }

    /// What follows is by these clocks.
    pub(crate) fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    pub(crate) fn take(&mut self, value: &impl Hash) {
        value.hash(self);
    }

    /// Two independent halves, so that among 10⁹ states two that differ hardly ever look the same.
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut versions = Vec::new();
        let mut transitions = Vec::new();
        for token in &self.tokens {
            match *token {
                Token::Version(version) => versions.push(version),
                Token::Transitions(number) => transitions.push(number),
                Token::Word(_) | Token::Timestamp(_) | Token::Name(_) => {}
            }
        }
        versions.sort_unstable();
        transitions.sort_unstable();
        versions.dedup();
        transitions.dedup();
        let near = close_up(&transitions);
        let mut halves = [DefaultHasher::new(), DefaultHasher::new()];
        halves[1].write_u8(1);
        for token in &self.tokens {
            let (kind, word) = match *token {
                Token::Word(word) => (0, word),
                Token::Version(version) => (1, rank(&versions, &version) as u64),
                Token::Timestamp(which) => (2, which as u64),
                Token::Transitions(number) => (3, near[rank(&transitions, &number)]),
                Token::Name(which) => (4, which as u64),
            };
            for half in &mut halves {
                half.write_u64(word << 3 ^ word >> 61 ^ kind);
            }
        }
        if let Some(seconds) = self.seconds {
            halves.iter_mut().for_each(|half| half.write_u64(seconds));
        }
        let [low, high] = halves.map(|half| u128::from(half.finish()));
        high << 64 | low
    }

    fn push(&mut self, token: Token) {
        // They were of no duration.
        self.tokens.extend(self.seconds.take().map(Token::Word));
        self.tokens.push(token);
    }

    fn duration(&mut self, seconds: u64, nanoseconds: u32) {
        let duration = Duration::new(seconds, nanoseconds);
        let now = match seconds {
            BOOTTIME..MONOTONIC_RAW => self.now.boottime,
            MONOTONIC_RAW..VERSIONS => self.now.monotonic_raw,
            _ => {
                self.tokens.extend([Token::Word(seconds), Token::Word(nanoseconds.into())]);
                return;
            }
        };
        let (is_past, distance) = match now.checked_sub(duration) {
            Some(age) => (true, age.min(self.longest_wait)),
            None => (false, duration - now),
        };
        let words = [is_past.into(), distance.as_secs(), distance.subsec_nanos().into()];
        self.tokens.extend(words.map(Token::Word));
    }
}

/// The numbers with smaller gaps, where they were larger than [`GAP`].
fn close_up(sorted: &[u32]) -> Vec<u64> {
    let mut near = 0;
    let mut before = sorted.first().copied().unwrap_or_default();
    let close = |number: &u32| {
        near += u64::from(number - before).min(GAP);
        before = *number;
        near
    };
    sorted.iter().map(close).collect()
}

/// Of a value that is among them.
fn rank<T: Ord>(sorted: &[T], value: &T) -> usize {
    sorted.partition_point(|other| other < value)
}

/// Where it stands among the different ones, of which it may be a new one.
fn place<T>(known: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    known.iter().position(is_it).unwrap_or_else(|| {
        known.push(new());
        known.len() - 1
    })
}

impl Hasher for Canon {
    fn finish(&self) -> u64 {
        self.fingerprint() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.first() == Some(&b'#') {
            let which = place(&mut self.names, |name| name == bytes, || bytes.to_vec());
            self.push(Token::Name(which));
        } else {
            bytes.iter().for_each(|byte| self.push(Token::Word((*byte).into())));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.push(Token::Word(word.into()));
    }

    /// The nanoseconds of a duration follow its seconds.
    fn write_u32(&mut self, word: u32) {
        match self.seconds.take() {
            Some(seconds) => self.duration(seconds, word),
            None if word >= TRANSITIONS => self.push(Token::Transitions(word)),
            None => self.push(Token::Word(word.into())),
        }
    }

    fn write_u64(&mut self, word: u64) {
        if word >= VERSIONS {
            self.push(Token::Version(word));
        } else {
            self.tokens.extend(self.seconds.replace(word).map(Token::Word));
        }
    }

    fn write_i64(&mut self, word: i64) {
        let which = place(&mut self.timestamps, |timestamp| *timestamp == word, || word);
        self.push(Token::Timestamp(which));
    }

    fn write_usize(&mut self, word: usize) {
        self.push(Token::Word(word as u64));
    }

    fn write_isize(&mut self, word: isize) {
        self.push(Token::Word(word as u64));
    }
}

#[cfg(test)]
mod tests {
    use elector_election::{ResourceVersion, Timestamp};

    use super::*;

    fn fingerprint(now: u64, values: &impl Hash) -> u128 {
        let mut canon = Canon::new(Duration::from_secs(5));
        let boottime = Duration::from_secs(BOOTTIME + now);
        canon.set_now(Moment { boottime, monotonic_raw: Duration::from_secs(MONOTONIC_RAW + now) });
        canon.take(values);
        canon.fingerprint()
    }

    fn moment(time: u64) -> Moment {
        let monotonic_raw = Duration::from_secs(MONOTONIC_RAW + time);
        Moment { boottime: Duration::from_secs(BOOTTIME + time), monotonic_raw }
    }

    #[test]
    fn ages_count_up_to_the_longest_wait() {
        assert_eq!(fingerprint(10, &moment(8)), fingerprint(20, &moment(18)));
        assert_ne!(fingerprint(10, &moment(8)), fingerprint(10, &moment(7)));
        assert_eq!(fingerprint(10, &moment(5)), fingerprint(10, &moment(2)));
    }

    #[test]
    fn what_is_to_come_is_no_age() {
        assert_eq!(fingerprint(10, &moment(12)), fingerprint(20, &moment(22)));
        assert_ne!(fingerprint(10, &moment(12)), fingerprint(10, &moment(13)));
        assert_ne!(fingerprint(10, &moment(12)), fingerprint(10, &moment(8)));
    }

    #[test]
    fn versions_count_by_their_order() {
        let versions = |a, b| fingerprint(0, &(ResourceVersion(VERSIONS + a), ResourceVersion(VERSIONS + b)));
        assert_eq!(versions(1, 2), versions(5, 9));
        assert_ne!(versions(1, 2), versions(2, 1));
        assert_ne!(versions(1, 2), versions(2, 2));
    }

    #[test]
    fn timestamps_and_names_count_by_whether_they_are_the_same_and_other_words_as_they_are() {
        let times = |times: [i64; 3]| fingerprint(0, &times.map(Timestamp::from_microseconds));
        assert_eq!(times([-1, 2, -1]), times([9, 5, 9]));
        assert_ne!(times([1, 2, 1]), times([1, 2, 2]));
        assert_eq!(fingerprint(0, &("#a", "#b", "#a")), fingerprint(0, &("#d", "#c", "#d")));
        assert_ne!(fingerprint(0, &("#a", "#b")), fingerprint(0, &("#a", "#a")));
        assert_ne!(fingerprint(0, &("a", "b")), fingerprint(0, &("c", "d")));
    }

    #[test]
    fn a_number_that_is_followed_by_no_nanoseconds_counts_too() {
        assert_ne!(fingerprint(0, &(4_u64, 5_u64)), fingerprint(0, &(6_u64, 5_u64)));
        assert_ne!(fingerprint(0, &(4_u64, "a")), fingerprint(0, &(5_u64, "a")));
        assert_ne!(fingerprint(0, &4_u64), fingerprint(0, &5_u64));
    }

    #[test]
    fn transitions_count_by_their_distance_and_other_numbers_as_they_are() {
        let transitions = |a: u32, b: u32| fingerprint(0, &(TRANSITIONS + a, TRANSITIONS + b));
        assert_eq!(transitions(1, 2), transitions(5, 6));
        assert_ne!(transitions(1, 2), transitions(5, 7));
        assert_ne!(fingerprint(0, &4_u32), fingerprint(0, &5_u32));
        assert_ne!(fingerprint(0, &Duration::from_secs(1)), fingerprint(0, &Duration::from_secs(2)));
    }
}

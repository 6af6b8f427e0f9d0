//! A tree under faults: whatever is killed, stopped, full, moved or told at random, nothing is lost or doubled.
//!
//! Each of many services writes the numbers that it is given into its log, and acknowledges each one after that in a
//! file of its own. Rounds of faults follow, chosen by a seed. At every look no service has two processes. At the end
//! each one runs exactly once and answers, its log has every acknowledged number once and in order, and after the
//! ordered stop no process is left. What may be missing is stated, counted and bounded: see [`writer`].
//!
//! `HOMERUN_CHAOS=SEED:ROUNDS`, or `SEED:TIME` such as `7:60m`, asks for another run, which prints figures at its end:
//! `HOMERUN_CHAOS=7:60m cargo test --release --test it chaos::tree -- --nocapture`. The seed decides which faults hit
//! which services in which order, not what these are doing at that moment.

mod disk;
mod faults;
mod look;
mod storm;
mod tree;
mod writer;

use std::time::Duration;

/// A generator of numbers that look like chance, the same for a seed. Source: xorshift64, Marsaglia 2003.
struct Chance(u64);

impl Chance {
    /// Seeds that are close to each other do not give series that are.
    fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A moment to wait, so that a fault meets whatever is being done then.
    fn moment(&mut self) -> Duration {
        Duration::from_micros(u64::try_from(self.below(1500)).unwrap())
    }
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
enum Length {
    Rounds(usize),
    Time(Duration),
}

/// Seed and length: those of `HOMERUN_CHAOS`, or else these.
fn plan(seed: u64, rounds: usize) -> (u64, Length) {
    let Ok(text) = std::env::var("HOMERUN_CHAOS") else { return (seed, Length::Rounds(rounds)) };
    let (seed, length) = text.split_once(':').expect("HOMERUN_CHAOS is SEED:ROUNDS or SEED:TIME");
    let length = match length.parse() {
        Ok(rounds) => Length::Rounds(rounds),
        Err(_) => Length::Time(humantime::parse_duration(length).expect("a number of rounds, or a time")),
    };
    (seed.parse().expect("a seed is a number"), length)
}

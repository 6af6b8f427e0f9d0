//! How long to wait before starting again what has ended.

use std::time::Duration;

/// A life shorter than this is young.
pub const YOUNG: Duration = Duration::from_secs(1);
/// The pause after a young death.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(60);
/// So many young deaths in a row are answered with [`PAUSE`]; each further one doubles it.
pub const PATIENCE: u8 = 5;

/// Counts young deaths in a row.
///
/// Source: runit 2.3.0, src/runsv.c: one second after a young death, for ever. Differs: after five young deaths in
/// a row the pause doubles each time, up to a minute, so that a broken service does not keep the disk and its log
/// busy; a long life or a command resets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Respawn {
    young_deaths: u8,
}

impl Respawn {
    /// Counts an end after `life`, and says how long to wait before the next start.
    pub fn died_after(self, life: Duration) -> (Respawn, Duration) {
        if life >= YOUNG {
            return (Respawn::default(), Duration::ZERO);
        }
        let next = Respawn { young_deaths: self.young_deaths.saturating_add(1) };
        (next, next.pause())
    }

    /// Young deaths in a row so far.
    pub fn young_deaths(self) -> u8 {
        self.young_deaths
    }

    /// Whether the pause is longer than the original's.
    pub fn is_growing(self) -> bool {
        self.young_deaths > PATIENCE
    }

    fn pause(self) -> Duration {
        let doublings = u32::from(self.young_deaths.saturating_sub(PATIENCE)).min(6);
        (PAUSE * 2u32.pow(doublings)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_a_second_five_times_and_then_doubles_up_to_a_minute() {
        let mut respawn = Respawn::default();
        let mut pauses = Vec::new();
        for _ in 0..13 {
            let (next, pause) = respawn.died_after(Duration::from_millis(999));
            respawn = next;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_long_life_is_answered_at_once_and_resets_the_pause() {
        let tired = Respawn { young_deaths: 200 };
        assert_eq!(tired.died_after(YOUNG), (Respawn::default(), Duration::ZERO));
    }

    #[test]
    fn the_count_does_not_overflow() {
        let (next, pause) = Respawn { young_deaths: 255 }.died_after(Duration::ZERO);
        assert_eq!((next.young_deaths(), pause), (255, LONGEST));
    }
}

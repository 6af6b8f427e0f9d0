//! The stamps that svlogd puts before lines.

use std::time::Duration;

use crate::model::tai::Label;

/// Bytes of every stamp, without the space that follows it.
pub const LENGTH: usize = 25;

/// Which stamp, after the number of `-t` options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `-t`: `@` and 24 hexadecimal digits, TAI64N.
    Label,
    /// `-tt`: `YYYY-MM-DD_HH:MM:SS.ddddd`, UTC.
    Underscore,
    /// `-ttt`: `YYYY-MM-DDTHH:MM:SS.ddddd`, UTC.
    Iso,
}

impl Form {
    /// The stamp of `since_1970`, wall-clock time since 1970 began. Decimals are cut, not rounded.
    ///
    /// Source: runit 2.3.0, src/fmt_ptime.c. A year after 9999 shows its last four digits.
    pub fn stamp(self, since_1970: Duration) -> [u8; LENGTH] {
        match self {
            Form::Label => Label::of(since_1970).hex(),
            Form::Underscore => utc(since_1970, b'_'),
            Form::Iso => utc(since_1970, b'T'),
        }
    }
}

/// A stamp and the space that follows it.
pub type Before = [u8; LENGTH + 1];

/// What stands before lines, if anything does. Lines that began at the same time share the work.
#[derive(Clone, Debug)]
pub struct Stamper {
    form: Option<Form>,
    began: Option<Duration>,
    text: Before,
}

impl Stamper {
    /// A stamper of this form; without one, nothing stands before lines.
    pub fn new(form: Option<Form>) -> Stamper {
        Stamper { form, began: None, text: [b' '; LENGTH + 1] }
    }

    /// What stands before a line that began at this time since 1970.
    pub fn before(&mut self, began: Duration) -> Option<&Before> {
        let form = self.form?;
        if self.began != Some(began) {
            self.began = Some(began);
            self.text[..LENGTH].copy_from_slice(&form.stamp(began));
        }
        Some(&self.text)
    }
}

fn utc(since_1970: Duration, between: u8) -> [u8; LENGTH] {
    const DAY: u64 = 24 * 60 * 60;
    let (days, second) = (since_1970.as_secs() / DAY, since_1970.as_secs() % DAY);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00_00:00:00.00000";
    text[10] = between;
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], second / 3600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    put(&mut text[20..25], u64::from(since_1970.subsec_nanos() / 10_000));
    text
}

/// Writes the last digits of `number` over all of `field`.
fn put(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01.
///
/// Years are counted from March, so that the leap day comes last; 400 such years have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468; // since 0000-03-01
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, nanoseconds: u32) -> String {
        String::from_utf8(Form::Iso.stamp(Duration::new(seconds, nanoseconds)).to_vec()).unwrap()
    }

    #[test]
    fn each_form_has_its_own_look() {
        let moment = Duration::new(1_000_000_000, 987_659_999);
        assert_eq!(Form::Label.stamp(moment), *b"@400000003b9aca0a3ade7edf");
        assert_eq!(Form::Underscore.stamp(moment), *b"2001-09-09_01:46:40.98765");
        assert_eq!(Form::Iso.stamp(moment), *b"2001-09-09T01:46:40.98765");
    }

    #[test]
    fn each_line_has_the_stamp_of_its_time() {
        let mut stamper = Stamper::new(Some(Form::Underscore));
        for second in [1, 1, 0, 2] {
            let expected = format!("1970-01-01_00:00:0{second}.00000 ");
            assert_eq!(stamper.before(Duration::from_secs(second)).unwrap()[..], *expected.as_bytes());
        }
        assert_eq!(Stamper::new(None).before(Duration::ZERO), None);
    }

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.00000");
        assert_eq!(text(951_782_399, 0), "2000-02-28T23:59:59.00000");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.00000");
        assert_eq!(text(951_868_800, 0), "2000-03-01T00:00:00.00000");
        assert_eq!(text(1_709_164_800, 0), "2024-02-29T00:00:00.00000");
        assert_eq!(text(1_735_689_599, 999_999_999), "2024-12-31T23:59:59.99999");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.00000");
        assert_eq!(text(4_107_456_000, 0), "2100-02-28T00:00:00.00000");
    }

    #[test]
    fn no_moment_is_too_late() {
        assert_eq!(Form::Iso.stamp(Duration::MAX).len(), LENGTH);
    }
}

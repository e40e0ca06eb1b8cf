//! Times as people read them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use rejoin::Millis;

const DAY: i64 = 86_400_000;

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// `14:05`
pub(crate) fn time_of_day(at: Millis) -> String {
    let minutes = at.rem_euclid(DAY) / 60_000;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `2026-11-21`: days are counted in years that begin in March, so that a leap day is the last.
pub(crate) fn date(at: Millis) -> String {
    let days = at.div_euclid(DAY) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, shown) in [
            (0, "1970-01-01 00:00"),
            (951_782_400_000, "2000-02-29 00:00"),
            (1_795_244_400_000, "2026-11-21 07:00"),
            (-1, "1969-12-31 23:59"),
        ] {
            assert_eq!(format!("{} {}", date(at), time_of_day(at)), shown);
        }
    }
}

//! `Retry-After`: seconds, or a date. A date is compared with the reply's own `Date`, so that a clock that is
//! wrong on this side does not matter.

use std::time::Duration;

/// How long to wait; `None` where the text says nothing.
pub(crate) fn read(text: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = seconds_of(text)?.checked_sub(seconds_of(date?)?)?;
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110); older forms are not taken.
fn seconds_of(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace().skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = names.iter().position(|n| *n == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let sane = (1..=31).contains(&day) && (1970..=9_999).contains(&year) && (0..24).contains(&hour);
    if !sane || !(0..60).contains(&minute) || !(0..=60).contains(&second) || words.next()? != "GMT" {
        return None;
    }
    // Days from a date of the Gregorian calendar, in years that begin in March.
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * shifted + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(read("7", None), Some(Duration::from_secs(7)));
        assert_eq!(seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        let (now, then) = ("Tue, 29 Feb 2028 23:59:59 GMT", "Wed, 01 Mar 2028 00:00:29 GMT");
        assert_eq!(read(then, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(read(now, Some(then)), Some(Duration::ZERO), "in the past");
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in
            ["", "soon", "-1", "Sun, 99 Nov 1994 08:49:37 GMT", "06 Nov 1994", "Sun, 06 Nov 1994 8 GMT"]
        {
            assert_eq!(read(text, Some("Sun, 06 Nov 1994 08:49:37 GMT")), None, "{text}");
        }
    }
}

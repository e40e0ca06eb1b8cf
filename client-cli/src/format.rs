//! Small texts: times, durations, hashes, and what must not reach a terminal as it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rejoin::{ChangeHash, Millis};

/// How much of a hash or id is shown to people: enough to be typed back as a prefix.
const SHORT: usize = 12;

/// The first hex digits of a hash.
pub(crate) fn short_hash(hash: &ChangeHash) -> String {
    hash.to_string().chars().take(SHORT).collect()
}

/// The text, with each whole hash in it as its first digits: enough to be typed back.
pub(crate) fn short_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut short = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = word.get(digits.len()..).unwrap_or_default();
        short.push_str(if is_hash(digits) { digits.get(..SHORT).unwrap_or(digits) } else { digits });
        short.push_str(rest);
    }
    short
}

/// The text in one line, with everything written out that steers a terminal or a reader.
pub(crate) fn printable(text: &str) -> String {
    rejoin::printable::printable(text).into_owned()
}

/// A JSON Pointer for people: the empty one in words.
pub(crate) fn place(path: &str) -> String {
    if path.is_empty() { "(the whole document)".to_owned() } else { printable(path) }
}

/// The text, cut to `limit` characters with an ellipsis.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `1 change`, `2 changes`.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A size in bytes: `1000000`, `64MiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: say 1000000, 64MiB or 1GiB");
    let unit = SIZES.into_iter().find_map(|(word, size)| Some((text.strip_suffix(word)?, size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(size).ok_or_else(wrong)
}

/// A size for people, as it can be typed again: exact.
pub(crate) fn size(bytes: u64) -> String {
    let unit = SIZES.into_iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes} bytes"), |(word, size)| format!("{} {word}", bytes / size))
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// RFC 3339 in UTC with milliseconds, as the store's SQL views have it.
pub(crate) fn rfc3339(at: Millis) -> String {
    let (days, ms) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

/// Times for people are in UTC: `--utc`.
static UTC: AtomicBool = AtomicBool::new(false);

/// Shows times in UTC from now on.
pub(crate) fn show_utc() {
    UTC.store(true, Ordering::Relaxed);
}

/// How wide [`moment`] and [`short_moment`] are at most, from the year 0 to 9999.
pub(crate) fn moment_width(short: bool) -> usize {
    match (short, UTC.load(Ordering::Relaxed)) {
        (false, false) => 26,
        (false, true) => 20,
        (true, false) => 16,
        (true, true) => 17,
    }
}

/// A time for people, to the second, in their own time zone (`TZ`, else the system's): `2026-11-27 03:27:48 +01:00`.
pub(crate) fn moment(at: Millis) -> String {
    let utc = || {
        let text = rfc3339(at);
        text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
    };
    if UTC.load(Ordering::Relaxed) {
        return utc();
    }
    let zoned = jiff::Timestamp::from_millisecond(at).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    // Beyond the year 9999: as it is, whatever a wrong clock said.
    zoned.map_or_else(|_| utc(), |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
}

/// As [`moment`], to the minute and without the zone, where there is little room.
pub(crate) fn short_moment(at: Millis) -> String {
    let text = moment(at);
    let zone = if text.ends_with('Z') { "Z" } else { "" };
    // Beyond the year 9999 it is longer.
    match (text.find(['T', ' ']), text.find(':')) {
        (Some(_), Some(colon)) => format!("{}{zone}", text.get(..colon + 3).unwrap_or(&text)),
        _ => text,
    }
}

/// So far ahead of this clock a time can be without a remark: clocks differ.
const AHEAD: Millis = 10 * 60 * 1000;

/// What is to be said beside a time that has not come yet.
pub(crate) fn ahead(at: Millis) -> &'static str {
    if at > now().saturating_add(AHEAD) { "  (a clock was ahead)" } else { "" }
}

/// Days since 1970 to a date of the proleptic Gregorian calendar (Hinnant's algorithm: eras of 400 years,
/// years that begin in March).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// `2 min ago`, or `in 3 s` for what is to come.
pub(crate) fn relative(at: Millis, now: Millis) -> String {
    let distance = now.saturating_sub(at);
    let text = coarse(distance.unsigned_abs());
    match distance {
        d if d.unsigned_abs() < 1000 => "now".to_owned(),
        d if d > 0 => format!("{text} ago"),
        _ => format!("in {text}"),
    }
}

fn coarse(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..172_800 => format!("{} h", s / 3600),
        _ => format!("{} days", s / 86_400),
    }
}

/// `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 500ms, 30s, 2m or 1h");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|d| !d.is_zero()).ok_or_else(wrong)
}

/// Checks that the text is a JSON Pointer (RFC 6901): empty, or parts that each begin with `/`.
pub(crate) fn parse_pointer(text: &str) -> Result<String, String> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err(format!("a path is empty or begins with '/', as in \"/{text}\""));
    }
    let mut rest = text.split('~').skip(1);
    if rest.any(|after| !after.starts_with(['0', '1'])) {
        return Err("in a path, '~' is written ~0 and a '/' inside a key ~1".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc3339_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(1_795_231_668_007), "2026-11-21T03:27:48.007Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_hash_in_a_sentence_is_told_by_its_first_digits() {
        let hash = "0123456789ab".repeat(6).get(..64).unwrap().to_owned();
        assert_eq!(short_hashes(&format!("on {hash}, and é")), "on 0123456789ab, and é");
        assert_eq!(short_hashes(&hash), "0123456789ab");
        assert_eq!(short_hashes("none of 64 (x)"), "none of 64 (x)");
    }

    #[test]
    fn durations_are_humane() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "0", "-1s", "1 fortnight", "1e3", "99999999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pointers_are_checked() {
        for good in ["", "/", "/a/0", "/a~0b~1c", "/a//b", "/-"] {
            assert!(parse_pointer(good).is_ok(), "{good:?}");
        }
        for bad in ["a", "a/b", "/~", "/a~2", "~0"] {
            assert!(parse_pointer(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn relative_times_are_short() {
        assert_eq!(relative(0, 5_000), "5 s ago");
        assert_eq!(relative(180_000, 0), "in 3 min");
        assert_eq!(relative(10, 20), "now");
    }
}

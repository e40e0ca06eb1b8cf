//! Integers as people type them: what does not fit is refused, and never becomes another number.

/// Says what is wrong where JSON holds an integer that does not fit 64 bits: a reader of JSON takes the nearest floating
/// point number for it, and says nothing. What is no JSON is for that reader to refuse.
pub(crate) fn check_integers(json: &str) -> Result<(), String> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with('"') {
            rest = after_string(rest);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.'));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let integer = number.strip_prefix('-').unwrap_or(number).bytes().all(|b| b.is_ascii_digit());
        if integer && number != "-" && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
            let shown = crate::format::shorten(number, 40);
            return Err(format!(
                "{shown} does not fit 64 bits; with a fraction or an exponent it is a floating point number"
            ));
        }
        rest = after;
    }
    Ok(())
}

/// What comes after the string that begins here.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

/// How many levels of a value an action takes.
const LEVELS: usize = 120;

/// Whether it is JSON as far as it was read, and goes deeper than anything that can be written.
pub(crate) fn is_too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

/// Why a text could not be read as JSON.
pub(crate) fn why_not_json(what: &str, error: &serde_json::Error) -> String {
    if is_too_deep(error) {
        return format!("{what} is nested too deeply: a value has at most {LEVELS} levels");
    }
    format!("{what} is not JSON ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_fits_64_bits_or_is_refused_and_never_is_a_float() {
        for good in [
            "0",
            "-0",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "1e300",
            "184467440737095516160.0",
            "{\"a\": [1, -1, 2.5e10]}",
            "\"99999999999999999999\"",
            "{\"99999999999999999999\\\"\": 1}",
            "\"\\\\\"",
            "nonsense",
            "-",
            "\"",
        ] {
            assert_eq!(check_integers(good), Ok(()), "{good}");
        }
        for bad in [
            "18446744073709551616",
            "-9223372036854775809",
            "{\"a\": 99999999999999999999}",
            "[1,99999999999999999999]",
            "{\"type\":\"increment\",\"path\":\"/n\",\"by\":99999999999999999999}",
        ] {
            assert!(check_integers(bad).unwrap_err().contains("64 bits"), "{bad}");
        }
    }
}

//! Values that are typed, or come from a file or from standard input.

use std::io::{IsTerminal as _, Read as _};

use crate::context::Context;
use crate::error::{CliError, Result};

/// What some programs put before a text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A text: `-` is standard input, `@FILE` a file, `@@TEXT` the text `@TEXT`, and everything else itself.
pub(crate) fn text(context: &Context, typed: String) -> Result<String> {
    match (typed.as_str(), typed.strip_prefix('@')) {
        ("-", _) => standard_input(context),
        (_, Some(escaped)) if escaped.starts_with('@') => Ok(escaped.to_owned()),
        (_, Some(file)) => read_file(file).map_err(|error| {
            let hint = format!("check the path; for a text that begins with @ write @@{file}");
            error.with_hint(hint)
        }),
        (_, None) => Ok(typed),
    }
}

/// JSON: as [`text`], and no JSON begins with `@`.
pub(crate) fn json(context: &Context, typed: String) -> Result<String> {
    match (typed.as_str(), typed.strip_prefix('@')) {
        ("-", _) => standard_input(context),
        (_, Some(file)) => read_file(file),
        (_, None) => Ok(typed),
    }
}

fn standard_input(context: &Context) -> Result<String> {
    if std::io::stdin().is_terminal() {
        context.out.note("Reading the value from the terminal; Ctrl-D ends it.");
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| CliError::io("standard input could not be read", e))?;
    decoded(bytes, "standard input")
}

fn read_file(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| CliError::io(format!("{path} could not be read"), e))?;
    decoded(bytes, path)
}

/// The text, without the mark of UTF-8 that some programs put before it: it says nothing.
fn decoded(mut bytes: Vec<u8>, source: &str) -> Result<String> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|_| {
        CliError::failed(
            format!("{source} is no text: it is not UTF-8"),
            "give text as UTF-8; nothing was changed",
        )
    })
}

//! What a sync came to, in words.

use rejoin::{DocumentReport, SyncReport, SyncState};

use super::super::{left_out, trash};
use crate::error::{CliError, Exit, Result};
use crate::format::{count, printable, shorten};
use crate::output::Output;

/// One line for a round of a watch, or one JSON value.
pub(super) fn print_round(out: &mut Output, report: &SyncReport) -> Result<()> {
    if out.is_json() {
        return out.json(report);
    }
    let moved = report.pushed + report.pulled > 0;
    if moved {
        let names: Vec<_> = report.documents.iter().filter(|d| d.pushed + d.pulled > 0).map(name).collect();
        out.line(format_args!("{}  {}", shorten(&names.join(", "), 40), figures(report)))?;
    }
    explain(out, report);
    explain_errors(out, report, None);
    if matches!(report.worst(), Some(rejoin::Error::Unauthorized(_))) {
        out.note("Waiting for a valid token: save one with `rejoin init --token -`, and this goes on; Ctrl-C ends.");
    }
    Ok(())
}

pub(super) fn print_report(out: &mut Output, report: &SyncReport) -> Result<()> {
    if out.is_json() {
        return out.json(report);
    }
    let line = match report.documents.len() {
        0 => "nothing to sync: there are no documents".to_owned(),
        _ => figures(report),
    };
    out.line(line)?;
    explain(out, report);
    // One error alone that all have is told at the end, with what to do.
    explain_errors(out, report, report.worst().map(ToString::to_string).as_deref());
    Ok(())
}

/// `pushed 5, pulled 3, in step`.
fn figures(report: &SyncReport) -> String {
    let mut text = format!("pushed {}, pulled {}", report.pushed, report.pulled);
    if report.queued > 0 {
        text.push_str(&format!(", {} queued", report.queued));
    }
    if report.parked > 0 {
        text.push_str(&format!(", {} parked", report.parked));
    }
    if let Some(left_out) = left_out(report.quarantined, report.quarantined_seen) {
        text.push_str(&format!(", {left_out}"));
    }
    let in_step =
        |d: &DocumentReport| matches!(d.state, SyncState::InStep | SyncState::Deleted | SyncState::NotThere);
    if report.queued + report.parked == 0 && report.documents.iter().all(in_step) {
        text.push_str(", in step");
    }
    text
}

/// What a person should know beside the figures.
fn explain(out: &Output, report: &SyncReport) {
    for document in &report.documents {
        if document.returned {
            out.note(format_args!(
                "{}: it is back. Its server has it, after all: somebody else had answered under that address, or the \
                 server was restored.",
                name(document)
            ));
        }
        match document.state {
            SyncState::NotThere => out.note(format_args!("{}: nobody has pushed it yet", name(document))),
            // What others deleted is told below.
            SyncState::Deleted if report.deleted.iter().any(|d| d.id == document.id) => {}
            SyncState::Deleted => out.note(format_args!("{}: deleted for everyone", name(document))),
            SyncState::NotServed => out.note(not_served(document)),
            _ => {}
        }
    }
    for document in &report.deleted {
        out.note(trash::warning(document));
    }
    if let Some(text) = another_writer(report) {
        out.note(text);
    }
    if report.parked > 0 {
        out.note(format_args!("{} parked: see `rejoin queue`.", count(report.parked, "change")));
    }
    if report.quarantined > report.quarantined_seen {
        let new = report.quarantined - report.quarantined_seen;
        out.note(format_args!(
            "{} left out, which would harm the document or were made on such: see `rejoin quarantine`.",
            count(new, "change")
        ));
    }
}

/// Somebody else wrote as this store: once for a sync, however often.
fn another_writer(report: &SyncReport) -> Option<String> {
    let goes_on = "this store goes on under another";
    if report.own_rewritten > 0 {
        let changes = count(report.own_rewritten, "change");
        if report.after_quarantine {
            return Some(format!(
                "{changes} of this store written again: others of this store, which they came after, were left out (see \
                 `rejoin quarantine`). Nothing is lost."
            ));
        }
        return Some(format!(
            "{changes} of this store written again: it was copied or put back, and both copies were used, or somebody \
             else wrote under its name. Nothing is lost; {goes_on}."
        ));
    }
    report.left_actor.then(|| {
        format!("Somebody else wrote under this store's name; {goes_on}. `rejoin log` says which were not made here.")
    })
}

/// Why documents are not in step; those that fail alike are told together. One error is told at the end, with what to do.
fn explain_errors(out: &Output, report: &SyncReport, at_the_end: Option<&str>) {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for document in &report.documents {
        let Some(error) = document.error.as_ref().map(ToString::to_string) else { continue };
        if at_the_end == Some(error.as_str()) {
            continue;
        }
        match told.iter_mut().find(|(text, _)| *text == error) {
            Some((_, names)) => names.push(name(document)),
            None => told.push((error, vec![name(document)])),
        }
    }
    for (error, names) in told {
        out.note(format_args!("{}: {}", shorten(&names.join(", "), 60), printable(&error)));
    }
}

/// A server where the document does not live says that it was deleted.
fn not_served(document: &DocumentReport) -> String {
    let (name, id) = (name(document), document.id);
    let server = document.not_served_by.as_deref().map_or_else(|| "the server".to_owned(), printable);
    if document.heads.is_empty() {
        return format!(
            "{name}: {server} says that it was deleted, and nothing of it is here: `rejoin leave {id}` forgets it"
        );
    }
    format!(
        "{name}: {server} says that it was deleted, and it does not live there: nothing was changed. If it was moved there, \
         say so: `rejoin join {server}/v1/documents/{id}`"
    )
}

fn name(document: &DocumentReport) -> String {
    document.name.as_deref().map_or_else(|| document.id.to_string(), printable)
}

/// Several, one after another.
fn names<'a>(documents: impl Iterator<Item = &'a DocumentReport>) -> String {
    documents.map(name).collect::<Vec<_>>().join(", ")
}

/// Which documents have nowhere to go, where others have.
fn no_server(report: &SyncReport) -> CliError {
    let error = CliError::of(&rejoin::Error::NoServer);
    let without = |d: &&DocumentReport| matches!(d.error.as_deref(), Some(rejoin::Error::NoServer));
    let names: Vec<String> = report.documents.iter().filter(without).map(name).collect();
    if names.len() == report.documents.len() {
        return error;
    }
    CliError::failed(
        format!("no server is set for {}", shorten(&names.join(", "), 60)),
        "the others were synced; name one for it with --server URL, or save one for all with `rejoin init --server URL`",
    )
}

/// The exit code, and for what failed the error that matters most: 4 before 3 before 5 before 1.
pub(super) fn end(report: SyncReport) -> Result<Exit> {
    let person = if report.needs_person() { Exit::NeedsPerson } else { Exit::Done };
    match report.worst() {
        None => Ok(person),
        Some(rejoin::Error::NoServer) => Err(no_server(&report).at_least(person)),
        Some(error) => {
            let (told, text) = (CliError::of(error).at_least(person), error.to_string());
            let fails = |d: &DocumentReport| d.error.as_ref().is_some_and(|e| e.to_string() == text);
            let (with, without): (Vec<_>, Vec<_>) = report.documents.iter().partition(|d| fails(d));
            // Where others have none, or another one, it is told whose it is.
            Err(if without.is_empty() { told } else { told.prefixed(shorten(&names(with.into_iter()), 60)) })
        }
    }
}

//! Tests of what the keys of the app do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rejoin::slice::EntityMap;

use super::*;
use crate::slices::{Note, Sort};

/// An app that holds these notes, each older than the next.
pub(crate) fn app_with(notes: &[(&str, &str)]) -> App {
    let mut app = App::default();
    app.update(Message::Loaded(held(notes)));
    app
}

fn held(notes: &[(&str, &str)]) -> Loaded {
    let made = notes.iter().zip(1..).map(|((id, title), created)| {
        let note = Note { title: (*title).to_owned(), created, ..Note::default() };
        ((*id).to_owned(), note)
    });
    Loaded { notes: made.collect::<EntityMap<Note>>().into(), ..Loaded::default() }
}

fn press(app: &mut App, code: KeyCode) -> Vec<Command> {
    app.update(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn types(app: &mut App, text: &str) -> Vec<Command> {
    text.chars().flat_map(|c| press(app, KeyCode::Char(c))).collect()
}

fn titles(app: &App) -> Vec<&str> {
    app.rows().iter().map(|(_, note)| note.title.as_str()).collect()
}

#[test]
fn a_burst_of_typing_is_one_command() {
    let mut app = app_with(&[("a", "Heron")]);
    assert_eq!(press(&mut app, KeyCode::Enter).len(), 1, "which note is open is remembered");
    assert!(types(&mut app, "on the weir").is_empty());
    let burst = Command::Type { id: "a".into(), seen: String::new(), text: "on the weir".into() };
    assert_eq!(app.update(Message::Pause), [burst]);
    app.update(Message::Kept { id: "a".into(), now: "on the weir".into() });
    assert!(app.update(Message::Pause).is_empty());
}

#[test]
fn leaving_a_field_keeps_it() {
    let mut app = app_with(&[("a", "Heron")]);
    types(&mut app, "gbirds #Weir");
    let kept = press(&mut app, KeyCode::Esc);
    let add = vec!["birds".to_owned(), "weir".to_owned()];
    assert_eq!(kept, [Command::Note(NoteAction::Tagged { id: "a".into(), add, remove: vec![] })]);
    types(&mut app, "tx");
    assert_eq!(
        types(&mut app, "").into_iter().chain(press(&mut app, KeyCode::Enter)).next(),
        Some(Command::Note(NoteAction::Titled { id: "a".into(), title: "Heronx".into() }))
    );
}

#[test]
fn quitting_keeps_what_was_typed() {
    let mut app = app_with(&[("a", "Heron")]);
    press(&mut app, KeyCode::Enter);
    types(&mut app, "weir");
    let quit = app.update(Message::Quit);
    assert!(matches!(quit.as_slice(), [Command::Type { .. }, Command::Quit]), "{quit:?}");
}

#[test]
fn undo_while_writing_keeps_the_burst_first() {
    let mut app = app_with(&[("a", "Heron")]);
    press(&mut app, KeyCode::Enter);
    types(&mut app, "weir");
    let undo = app.update(Message::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL)));
    assert!(matches!(undo.as_slice(), [Command::Type { .. }, Command::Undo]), "{undo:?}");
}

#[test]
fn a_note_that_another_deleted_while_it_was_written_in_is_kept_as_a_new_one() {
    let mut app = app_with(&[("a", "Heron"), ("b", "Sett")]);
    app.update(Message::Key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE)));
    press(&mut app, KeyCode::Enter);
    types(&mut app, "weir");
    let kept = app.update(Message::Loaded(held(&[("b", "Sett")])));
    assert_eq!(kept, [Command::Add { title: "Heron (kept)".into(), body: "weir".into() }]);
    assert_eq!(app.focus, Focus::List);
}

#[test]
fn the_list_is_sorted_pinned_first_and_searched_by_words_and_tags() {
    let mut app = app_with(&[]);
    let note = |title: &str, created, pinned, tag: &str| Note {
        title: title.to_owned(),
        created,
        pinned,
        tags: [(tag.to_owned(), true)].into(),
        ..Note::default()
    };
    let notes = [("a", note("Owl", 1, false, "birds")), ("b", note("Sett", 2, true, "badgers"))];
    let more = [("c", note("Heron", 3, false, "birds"))];
    let notes: EntityMap<Note> =
        notes.into_iter().chain(more).map(|(id, note)| (id.to_owned(), note)).collect();
    app.update(Message::Loaded(Loaded { notes: notes.into(), ..Loaded::default() }));
    assert_eq!(titles(&app), ["Sett", "Heron", "Owl"]);
    app.settings.sort = Sort::Oldest;
    assert_eq!(titles(&app), ["Sett", "Owl", "Heron"]);
    let commands = types(&mut app, "/#birds HER");
    assert_eq!(commands.len(), 10, "each letter of the search is remembered");
    assert_eq!(titles(&app), ["Heron"]);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.rows().len(), 3);
}

#[test]
fn the_choice_stays_near_when_its_note_is_gone() {
    let mut app = app_with(&[("a", "Heron"), ("b", "Owl"), ("c", "Sett")]);
    press(&mut app, KeyCode::Down);
    assert_eq!(app.current().map(|(id, _)| id), Some("b"));
    let deleted = press(&mut app, KeyCode::Char('d'));
    assert_eq!(deleted, [Command::Note(NoteAction::Deleted { id: "b".into() })]);
    assert!(app.notice.contains("u brings it back"));
    app.update(Message::Loaded(held(&[("a", "Heron"), ("c", "Sett")])));
    assert_eq!(app.current().map(|(id, _)| id), Some("a"));
}

#[test]
fn it_is_offline_since_it_began() {
    let mut app = app_with(&[]);
    let offline = |since: &str| Link::Offline { since: since.to_owned(), why: String::new() };
    app.update(Message::Linked(offline("12:00")));
    app.update(Message::Linked(offline("12:05")));
    assert_eq!(app.link, offline("12:00"));
}

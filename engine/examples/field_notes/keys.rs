//! What the keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{
    editor::{Field, Move},
    state::Focus,
};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Above,
    Below,
    First,
    Last,
    Edit(Field),
    NextField,
    New,
    Delete,
    Pin,
    Archive,
    ShowArchive,
    Sort,
    Search,
    TakeOther,
    Undo,
    Redo,
    Sync,
    Help,
    Back,
    Enter,
    Insert(char),
    Backspace,
    DeleteNext,
    Go(Move),
    Quit,
}

/// The keys of the list, as the help shows them.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("up down", "choose a note (k and j too)"),
    ("enter", "write in it; tab goes on to tags, place, title"),
    ("n", "a new note"),
    ("t g l", "its title, its tags, its place"),
    ("d", "delete it; u brings it back"),
    ("p a", "pin it, put it into the archive"),
    ("A o", "show the archive, another order"),
    ("/", "search: words, or #tag; esc ends it"),
    ("u ctrl-r", "undo, redo (ctrl-z while writing)"),
    ("x", "take the other, where two wrote at once"),
    ("s", "sync now"),
    ("q", "quit (ctrl-c everywhere)"),
];

/// What this key means where the focus is.
pub(crate) fn intent(focus: &Focus, key: KeyEvent) -> Option<Intent> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Intent::Quit),
            KeyCode::Char('r') => Some(Intent::Redo),
            KeyCode::Char('z') => Some(Intent::Undo),
            KeyCode::Char('s') => Some(Intent::Sync),
            _ => None,
        };
    }
    match focus {
        Focus::List => in_list(key.code),
        Focus::Help => Some(Intent::Back),
        Focus::Search | Focus::Edit(_) => in_text(key.code),
    }
}

fn in_list(code: KeyCode) -> Option<Intent> {
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => Intent::Above,
        KeyCode::Down | KeyCode::Char('j') => Intent::Below,
        KeyCode::Home => Intent::First,
        KeyCode::End => Intent::Last,
        KeyCode::Enter | KeyCode::Right | KeyCode::Tab | KeyCode::Char('e') => Intent::Edit(Field::Body),
        KeyCode::Char('t') => Intent::Edit(Field::Title),
        KeyCode::Char('g') => Intent::Edit(Field::Tags),
        KeyCode::Char('l') => Intent::Edit(Field::Place),
        KeyCode::Char('n') => Intent::New,
        KeyCode::Char('d') | KeyCode::Delete => Intent::Delete,
        KeyCode::Char('p') => Intent::Pin,
        KeyCode::Char('a') => Intent::Archive,
        KeyCode::Char('A') => Intent::ShowArchive,
        KeyCode::Char('o') => Intent::Sort,
        KeyCode::Char('/') => Intent::Search,
        KeyCode::Char('x') => Intent::TakeOther,
        KeyCode::Char('u') => Intent::Undo,
        KeyCode::Char('s') => Intent::Sync,
        KeyCode::Char('?') | KeyCode::F(1) => Intent::Help,
        KeyCode::Char('q') => Intent::Quit,
        KeyCode::Esc => Intent::Back,
        _ => return None,
    })
}

fn in_text(code: KeyCode) -> Option<Intent> {
    Some(match code {
        KeyCode::Char(c) => Intent::Insert(c),
        KeyCode::Enter => Intent::Enter,
        KeyCode::Tab => Intent::NextField,
        KeyCode::Esc => Intent::Back,
        KeyCode::Backspace => Intent::Backspace,
        KeyCode::Delete => Intent::DeleteNext,
        KeyCode::Left => Intent::Go(Move::Left),
        KeyCode::Right => Intent::Go(Move::Right),
        KeyCode::Up => Intent::Go(Move::Up),
        KeyCode::Down => Intent::Go(Move::Down),
        KeyCode::Home => Intent::Go(Move::Home),
        KeyCode::End => Intent::Go(Move::End),
        _ => return None,
    })
}

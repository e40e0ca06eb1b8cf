//! What the app knows, and what follows from what happens: without I/O and without a clock.

use std::{collections::BTreeMap, sync::Arc};

use ratatui::crossterm::event::KeyEvent;
use rejoin::slice::EntityMap;

use crate::{
    editor::{Editor, Field},
    slices::{Note, NoteAction, SearchAction, SettingsAction, SettingsState},
};

/// Where the keys go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Focus {
    #[default]
    List,
    Search,
    Edit(Editor),
    Help,
}

/// How it stands with the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// There is none: everything is kept here.
    #[default]
    Alone,
    Trying,
    InStep,
    /// Nothing is lost: it is tried again by itself.
    Offline {
        since: String,
        why: String,
    },
    /// It needs a person.
    Trouble(String),
}

/// Figures over all notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) archived: usize,
    pub(crate) tags: BTreeMap<String, usize>,
}

impl Overview {
    pub(crate) fn of(notes: &EntityMap<Note>) -> Self {
        let mut overview = Self::default();
        for (_, note) in notes.iter() {
            overview.archived += usize::from(note.archived);
            for tag in note.tags.keys() {
                *overview.tags.entry(tag.clone()).or_default() += 1;
            }
        }
        overview
    }
}

/// A place where two people wrote at once and one of the values is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Met {
    /// As a JSON Pointer.
    pub(crate) path: String,
    /// The note.
    pub(crate) id: String,
    /// The hidden value and who wrote it.
    pub(crate) other: String,
}

/// What the store has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Loaded {
    pub(crate) notes: Arc<EntityMap<Note>>,
    pub(crate) overview: Arc<Overview>,
    pub(crate) met: Arc<Vec<Met>>,
    /// Actions in the queue.
    pub(crate) waiting: u64,
    /// Those that the server refused for good.
    pub(crate) parked: u64,
}

/// What happens to the app.
#[derive(Debug)]
pub(crate) enum Message {
    Key(KeyEvent),
    Paste(String),
    /// Nobody has typed for a moment.
    Pause,
    /// The terminal has another size.
    Resized,
    /// The notes changed: by whom, where it was somebody else.
    Heard(Option<String>),
    Loaded(Loaded),
    /// A burst of typing is in the store, and this is the text there.
    Kept {
        id: String,
        now: String,
    },
    /// A new note is there.
    Added(String),
    /// What was taken back (or done again), if anything was.
    Undone {
        redo: bool,
        action: Option<String>,
    },
    Linked(Link),
    Failed(String),
    Quit,
}

/// What the app wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Load,
    Add {
        title: String,
        body: String,
    },
    Note(NoteAction),
    /// A burst of typing: what the person saw and what it is to be.
    Type {
        id: String,
        seen: String,
        text: String,
    },
    Settings(SettingsAction),
    Search(SearchAction),
    Undo,
    Redo,
    Take {
        path: String,
    },
    Sync,
    Quit,
}

/// What does not change while the app runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) author: Option<String>,
    pub(crate) server: Option<String>,
    /// What a colleague types to take part.
    pub(crate) share: String,
}

/// The app.
#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) about: About,
    pub(crate) held: Loaded,
    pub(crate) settings: SettingsState,
    pub(crate) search: String,
    pub(crate) focus: Focus,
    pub(crate) link: Link,
    /// The last thing that is to be told.
    pub(crate) notice: String,
    /// The chosen note, and its place in the list for when it is gone.
    pub(crate) chosen: Option<String>,
    pub(crate) place: usize,
    pub(crate) done: bool,
}

impl App {
    pub(crate) fn new(about: About, settings: SettingsState, search: String) -> Self {
        let chosen = settings.open.clone();
        let link = if about.server.is_some() { Link::Trying } else { Link::Alone };
        Self { about, settings, search, chosen, link, ..Self::default() }
    }

    /// The notes that the list shows, in order.
    pub(crate) fn rows(&self) -> Vec<(&str, &Note)> {
        use crate::slices::Sort;
        let order = |note: &Note| {
            let title = note.title.to_lowercase();
            match self.settings.sort {
                Sort::Newest => (!note.pinned, -note.created, title),
                Sort::Oldest => (!note.pinned, note.created, title),
                Sort::Title => (!note.pinned, 0, title),
            }
        };
        let shown = |note: &Note| (self.settings.archive_shown || !note.archived) && fits(note, &self.search);
        let mut rows = self.held.notes.sorted_by(order);
        rows.retain(|(_, note)| shown(note));
        rows
    }

    /// The chosen note's place in the list.
    pub(crate) fn row(&self, rows: &[(&str, &Note)]) -> usize {
        let found = rows.iter().position(|(id, _)| Some(*id) == self.chosen.as_deref());
        found.unwrap_or_else(|| self.place.min(rows.len().saturating_sub(1)))
    }

    /// The note that is written in or chosen.
    pub(crate) fn current(&self) -> Option<(&str, &Note)> {
        if let Focus::Edit(editor) = &self.focus {
            return self.held.notes.get(&editor.id).map(|note| (editor.id.as_str(), note));
        }
        let rows = self.rows();
        rows.get(self.row(&rows)).copied()
    }

    /// Something was typed that the store does not have.
    pub(crate) fn is_dirty(&self) -> bool {
        matches!(&self.focus, Focus::Edit(editor) if editor.is_dirty())
    }
}

/// Whether every word is somewhere in the note; `#word` is one of its tags.
fn fits(note: &Note, search: &str) -> bool {
    let text = format!("{}\n{}\n{}\n{}", note.title, note.body, note.place, note.author).to_lowercase();
    search.split_whitespace().map(str::to_lowercase).all(|word| match word.strip_prefix('#') {
        Some(tag) => note.tags.keys().any(|held| held.starts_with(tag)),
        None => text.contains(&word) || note.tags.contains_key(&word),
    })
}

/// A field of a note as it is edited.
pub(crate) fn text_of(note: &Note, field: Field) -> String {
    match field {
        Field::Title => note.title.clone(),
        Field::Body => note.body.clone(),
        Field::Place => note.place.clone(),
        Field::Tags => note.tags.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
    }
}

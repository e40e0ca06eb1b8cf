//! What is kept: the notes, which are shared; the settings, which stay on this device; and what is searched for,
//! which is gone when the app ends.

use std::collections::BTreeMap;

use rejoin::{
    Millis, Scope,
    slice::{Draft, EntityMap, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::splice::{Splice, fingerprint};

/// A field note.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Note {
    pub(crate) title: String,
    /// Collaborative: what several people type into it at once merges.
    pub(crate) body: String,
    /// A map, not a list: a tag that two people add at once is there once.
    pub(crate) tags: BTreeMap<String, bool>,
    pub(crate) place: String,
    pub(crate) author: String,
    pub(crate) pinned: bool,
    pub(crate) archived: bool,
    pub(crate) created: Millis,
}

/// What can be done to the notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum NoteAction {
    /// The id is a new UUID.
    Added {
        id: String,
        title: String,
        body: String,
    },
    /// A burst of typing in the body. `seen` is the fingerprint of the text that the person saw.
    Typed {
        id: String,
        at: u64,
        delete: u64,
        insert: String,
        seen: u64,
    },
    Titled {
        id: String,
        title: String,
    },
    Placed {
        id: String,
        place: String,
    },
    Tagged {
        id: String,
        add: Vec<String>,
        remove: Vec<String>,
    },
    Pinned {
        id: String,
        pinned: bool,
    },
    Archived {
        id: String,
        archived: bool,
    },
    Deleted {
        id: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct NotesState {
    pub(crate) items: EntityMap<Note>,
}

pub(crate) struct Notes;

impl Slice for Notes {
    const NAME: &'static str = "notes";
    type State = NotesState;
    type Action = NoteAction;

    fn reduce(draft: &mut Draft<'_>, action: &NoteAction) -> Result<(), Rejection> {
        let found = match action {
            NoteAction::Added { id, title, body } => add(draft, id, (title, body))?,
            NoteAction::Typed { id, at, delete, insert, seen } => {
                let path = body_of(id);
                let text: String = draft.read(&path)?.ok_or("this note was deleted")?;
                if fingerprint(&text) != *seen {
                    // Somebody else's words came in between: the app looks again where these belong.
                    return Err("the text has moved on".into());
                }
                draft.splice(&path, *at, *delete, insert)?;
                true
            }
            NoteAction::Titled { id, title } if title.trim().is_empty() => {
                return Err(format!("the note {id} needs a title").into());
            }
            NoteAction::Titled { id, title } => update(draft, id, json!({"title": title.trim()}))?,
            NoteAction::Placed { id, place } => update(draft, id, json!({"place": place.trim()}))?,
            NoteAction::Tagged { id, add, remove } => tag(draft, id, (add, remove))?,
            NoteAction::Pinned { id, pinned } => update(draft, id, json!({"pinned": pinned}))?,
            NoteAction::Archived { id, archived } => update(draft, id, json!({"archived": archived}))?,
            NoteAction::Deleted { id } => draft.entities("/items").remove(id)?,
        };
        if found { Ok(()) } else { Err("there is no such note".into()) }
    }
}

fn add(draft: &mut Draft<'_>, id: &str, (title, body): (&str, &str)) -> Result<bool, Rejection> {
    let (created, author) = (draft.info().made_at, draft.info().author.clone().unwrap_or_default());
    let note = json!({"title": title, "tags": {}, "place": "", "author": author, "pinned": false,
        "archived": false, "created": created});
    Ok(draft.entities("/items").add(id, note)? && {
        draft.splice(&body_of(id), 0, 0, body)?;
        true
    })
}

fn update(draft: &mut Draft<'_>, id: &str, fields: serde_json::Value) -> Result<bool, Rejection> {
    draft.entities("/items").update(id, fields)
}

fn tag(draft: &mut Draft<'_>, id: &str, (add, remove): (&[String], &[String])) -> Result<bool, Rejection> {
    let tags: BTreeMap<&String, bool> = add.iter().map(|tag| (tag, true)).collect();
    if !update(draft, id, json!({ "tags": tags }))? {
        return Ok(false);
    }
    let mut held = draft.entities(&format!("/items/{id}/tags"));
    held.remove_many(remove)?;
    Ok(true)
}

/// Where a note's body is. An id is a UUID, which needs no escaping in a JSON Pointer.
pub(crate) fn body_of(id: &str) -> String {
    format!("/items/{id}/body")
}

/// A burst of typing as an action, by a person who saw `seen`.
pub(crate) fn typed(id: &str, seen: &str, splice: &Splice) -> NoteAction {
    NoteAction::Typed {
        id: id.to_owned(),
        at: splice.at as u64,
        delete: splice.delete as u64,
        insert: splice.insert.clone(),
        seen: fingerprint(seen),
    }
}

/// In which order the list is; what is pinned comes first in each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    #[default]
    Newest,
    Oldest,
    Title,
}

impl Sort {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Newest => Self::Oldest,
            Self::Oldest => Self::Title,
            Self::Title => Self::Newest,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Oldest => "oldest first",
            Self::Title => "by title",
        }
    }
}

/// How this device shows the notes. Nothing of it leaves the device.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsState {
    pub(crate) sort: Sort,
    pub(crate) archive_shown: bool,
    /// The note that was open last.
    pub(crate) open: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum SettingsAction {
    Sorted { sort: Sort },
    ArchiveShown { shown: bool },
    Opened { id: String },
}

pub(crate) struct Settings;

impl Slice for Settings {
    const NAME: &'static str = "settings";
    const SCOPE: Scope = Scope::Local;
    type State = SettingsState;
    type Action = SettingsAction;

    fn reduce(draft: &mut Draft<'_>, action: &SettingsAction) -> Result<(), Rejection> {
        match action {
            SettingsAction::Sorted { sort } => draft.set("/sort", sort),
            SettingsAction::ArchiveShown { shown } => draft.set("/archive_shown", shown),
            SettingsAction::Opened { id } => draft.set("/open", id),
        }
    }
}

/// What is searched for, in memory only.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct SearchState {
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum SearchAction {
    Searched { text: String },
}

pub(crate) struct Search;

impl Slice for Search {
    const NAME: &'static str = "search";
    const SCOPE: Scope = Scope::Memory;
    type State = SearchState;
    type Action = SearchAction;

    fn reduce(draft: &mut Draft<'_>, action: &SearchAction) -> Result<(), Rejection> {
        let SearchAction::Searched { text } = action;
        draft.set("/text", text)
    }
}

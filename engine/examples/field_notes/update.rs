//! The pure update: a message changes the app and asks for commands.

use std::collections::BTreeSet;

use crate::{
    editor::{Editor, Field},
    keys::{self, Intent},
    slices::{NoteAction, SearchAction, SettingsAction},
    state::{App, Command, Focus, Link, Loaded, Message, text_of},
};

impl App {
    /// Takes in what happened.
    pub(crate) fn update(&mut self, message: Message) -> Vec<Command> {
        match message {
            Message::Key(key) => match keys::intent(&self.focus, key) {
                Some(intent) => {
                    self.notice.clear();
                    self.act(intent)
                }
                None => Vec::new(),
            },
            Message::Paste(text) => self.insert(&text),
            Message::Pause => self.save_body(),
            Message::Resized => Vec::new(),
            Message::Heard(by) => {
                if let Some(name) = by {
                    self.notice = format!("{name} wrote something");
                }
                vec![Command::Load]
            }
            Message::Loaded(held) => self.take_in(held),
            Message::Kept { id, now } => {
                if let Focus::Edit(editor) = &mut self.focus
                    && (&editor.id, editor.field) == (&id, Field::Body)
                {
                    editor.kept(&now);
                }
                Vec::new()
            }
            Message::Added(id) => {
                self.chosen = Some(id.clone());
                self.focus = Focus::Edit(Editor::new(&id, Field::Title, ""));
                Vec::new()
            }
            Message::Undone { redo, action } => {
                self.notice = undone(redo, action.as_deref());
                Vec::new()
            }
            Message::Linked(link) => self.linked(link),
            Message::Failed(why) => {
                self.notice = why;
                Vec::new()
            }
            Message::Quit => self.act(Intent::Quit),
        }
    }

    fn linked(&mut self, link: Link) -> Vec<Command> {
        // Offline since it began, not since it was tried last.
        if let (Link::Offline { .. }, Link::Offline { .. }) = (&self.link, &link) {
            return Vec::new();
        }
        self.link = link;
        vec![Command::Load]
    }

    fn act(&mut self, intent: Intent) -> Vec<Command> {
        match intent {
            Intent::Above => self.choose(|at, _| at.saturating_sub(1)),
            Intent::Below => self.choose(|at, last| (at + 1).min(last)),
            Intent::First => self.choose(|_, _| 0),
            Intent::Last => self.choose(|_, last| last),
            Intent::Edit(field) => self.edit(field),
            Intent::NextField => match &self.focus {
                Focus::Edit(editor) => self.edit(editor.field.next()),
                _ => self.leave(),
            },
            Intent::Enter => self.enter(),
            Intent::Back => self.back(),
            Intent::Insert(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Intent::Backspace | Intent::DeleteNext | Intent::Go(_) => self.in_editor(intent),
            Intent::New => {
                let mut commands = self.searched("");
                commands.push(Command::Add { title: "Untitled".to_owned(), body: String::new() });
                commands
            }
            Intent::Delete | Intent::Pin | Intent::Archive | Intent::TakeOther => self.to_note(intent),
            Intent::ShowArchive => {
                self.settings.archive_shown = !self.settings.archive_shown;
                let shown = self.settings.archive_shown;
                self.notice = format!("The archive is {}.", if shown { "shown" } else { "hidden" });
                vec![Command::Settings(SettingsAction::ArchiveShown { shown })]
            }
            Intent::Sort => {
                let sort = self.settings.sort.next();
                self.settings.sort = sort;
                self.notice = format!("Sorted: {}.", sort.label());
                vec![Command::Settings(SettingsAction::Sorted { sort })]
            }
            Intent::Search => self.look(Focus::Search),
            Intent::Help => self.look(Focus::Help),
            Intent::Undo => self.then(Command::Undo),
            Intent::Redo => self.then(Command::Redo),
            Intent::Sync => self.sync(),
            Intent::Quit => {
                let mut commands = self.leave();
                commands.push(Command::Quit);
                commands
            }
        }
    }

    fn look(&mut self, focus: Focus) -> Vec<Command> {
        self.focus = focus;
        Vec::new()
    }

    /// A command after what was typed is kept.
    fn then(&mut self, command: Command) -> Vec<Command> {
        let mut commands = self.save();
        commands.push(command);
        commands
    }

    fn sync(&mut self) -> Vec<Command> {
        if self.about.server.is_none() {
            self.notice = "There is no server: start with --server URL to share these notes.".to_owned();
            return self.save();
        }
        self.notice = "Syncing …".to_owned();
        self.then(Command::Sync)
    }

    fn choose(&mut self, to: impl Fn(usize, usize) -> usize) -> Vec<Command> {
        let rows = self.rows();
        let place = to(self.row(&rows), rows.len().saturating_sub(1));
        let chosen = rows.get(place).map(|(id, _)| (*id).to_owned());
        (self.place, self.chosen) = (place, chosen);
        Vec::new()
    }

    /// Opens a field of the current note.
    fn edit(&mut self, field: Field) -> Vec<Command> {
        let mut commands = self.save();
        let Some((id, note)) = self.current() else {
            self.notice = "There is no note here: n makes one.".to_owned();
            return commands;
        };
        let editor = Editor::new(id, field, &text_of(note, field));
        let id = editor.id.clone();
        if self.settings.open.as_ref() != Some(&id) {
            self.settings.open = Some(id.clone());
            commands.push(Command::Settings(SettingsAction::Opened { id: id.clone() }));
        }
        self.chosen = Some(id);
        self.focus = Focus::Edit(editor);
        commands
    }

    fn enter(&mut self) -> Vec<Command> {
        match &self.focus {
            Focus::Edit(editor) => match editor.field {
                Field::Body => {
                    self.insert("\n");
                    // A finished line is kept at once.
                    self.save()
                }
                Field::Title => self.edit(Field::Body),
                Field::Tags | Field::Place => self.leave(),
            },
            _ => self.leave(),
        }
    }

    fn back(&mut self) -> Vec<Command> {
        match &self.focus {
            Focus::Edit(_) | Focus::Help => self.leave(),
            Focus::Search | Focus::List if self.search.is_empty() => self.leave(),
            Focus::Search | Focus::List => {
                self.focus = Focus::List;
                self.searched("")
            }
        }
    }

    fn insert(&mut self, text: &str) -> Vec<Command> {
        match &mut self.focus {
            Focus::Edit(editor) => {
                editor.insert(text);
                Vec::new()
            }
            Focus::Search => {
                let search = format!("{}{}", self.search, text.replace(['\r', '\n'], " "));
                self.searched(&search)
            }
            Focus::List | Focus::Help => Vec::new(),
        }
    }

    fn in_editor(&mut self, intent: Intent) -> Vec<Command> {
        let Focus::Edit(editor) = &mut self.focus else {
            let mut search = self.search.clone();
            if intent == Intent::Backspace && search.pop().is_some() {
                return self.searched(&search);
            }
            return Vec::new();
        };
        match intent {
            Intent::Backspace => editor.backspace(),
            Intent::DeleteNext => editor.delete(),
            Intent::Go(to) => editor.go(to),
            _ => {}
        }
        Vec::new()
    }

    fn searched(&mut self, search: &str) -> Vec<Command> {
        if self.search == search {
            return Vec::new();
        }
        search.clone_into(&mut self.search);
        vec![Command::Search(SearchAction::Searched { text: search.to_owned() })]
    }

    fn to_note(&mut self, intent: Intent) -> Vec<Command> {
        let Some((id, note)) = self.current() else { return Vec::new() };
        let (id, title, pinned, archived) = (id.to_owned(), note.title.clone(), note.pinned, note.archived);
        let rows = self.rows();
        self.place = self.row(&rows);
        let command = match intent {
            Intent::Delete => {
                self.notice = format!("Deleted “{title}”: u brings it back.");
                Command::Note(NoteAction::Deleted { id })
            }
            Intent::Pin => Command::Note(NoteAction::Pinned { id, pinned: !pinned }),
            Intent::Archive => {
                let to = if archived { "is back from the archive" } else { "is in the archive: A shows it" };
                self.notice = format!("“{title}” {to}.");
                Command::Note(NoteAction::Archived { id, archived: !archived })
            }
            _ => match self.held.met.iter().find(|met| met.id == id) {
                Some(met) => Command::Take { path: met.path.clone() },
                None => return Vec::new(),
            },
        };
        vec![command]
    }

    /// Back to the list, with what was typed kept.
    fn leave(&mut self) -> Vec<Command> {
        let commands = self.save();
        self.focus = Focus::List;
        commands
    }

    fn save_body(&mut self) -> Vec<Command> {
        match &self.focus {
            Focus::Edit(editor) if editor.field == Field::Body => self.save(),
            _ => Vec::new(),
        }
    }

    /// Has what was typed kept.
    fn save(&mut self) -> Vec<Command> {
        let Focus::Edit(editor) = &mut self.focus else { return Vec::new() };
        if !editor.is_dirty() {
            return Vec::new();
        }
        let (id, text, seen) = (editor.id.clone(), editor.text.clone(), editor.seen.clone());
        if editor.field != Field::Body {
            editor.seen.clone_from(&text);
        }
        let action = match editor.field {
            Field::Body => return vec![Command::Type { id, seen, text }],
            Field::Title if text.trim().is_empty() => return Vec::new(),
            Field::Title => NoteAction::Titled { id, title: text },
            Field::Place => NoteAction::Placed { id, place: text },
            Field::Tags => {
                let (before, now) = (tags(&seen), tags(&text));
                let gone = before.difference(&now).cloned().collect();
                NoteAction::Tagged { id, add: now.difference(&before).cloned().collect(), remove: gone }
            }
        };
        vec![Command::Note(action)]
    }

    /// Takes in what the store has.
    fn take_in(&mut self, held: Loaded) -> Vec<Command> {
        let before = std::mem::replace(&mut self.held, held);
        let Focus::Edit(editor) = &mut self.focus else { return Vec::new() };
        if let Some(note) = self.held.notes.get(&editor.id) {
            let now = text_of(note, editor.field);
            // The title of a new note begins empty, whatever it is called until then.
            if before.notes.get(&editor.id).is_some_and(|note| text_of(note, editor.field) != now) {
                editor.meet(&now);
            }
            return Vec::new();
        }
        let Some(gone) = before.notes.get(&editor.id) else { return Vec::new() };
        let kept = (editor.field == Field::Body && editor.is_dirty())
            .then(|| Command::Add { title: format!("{} (kept)", gone.title), body: editor.text.clone() });
        let then = if kept.is_some() { ": what you wrote is kept as a note of its own" } else { "" };
        self.notice = format!("“{}” is deleted{then}.", gone.title);
        self.focus = Focus::List;
        kept.into_iter().collect()
    }
}

/// The tags in a line: words, with or without `#`.
fn tags(line: &str) -> BTreeSet<String> {
    let words = line.split(|c: char| c.is_whitespace() || c == ',' || c == '#');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn undone(redo: bool, action: Option<&str>) -> String {
    let done = if redo { "Done again" } else { "Undone" };
    match action {
        None if redo => "There is nothing to do again.".to_owned(),
        None => "There is nothing to undo.".to_owned(),
        Some(action) => format!("{done}: {}.", action.rsplit('/').next().unwrap_or(action)),
    }
}

#[cfg(test)]
pub(crate) mod tests;

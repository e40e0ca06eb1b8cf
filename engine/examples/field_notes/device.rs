//! The app's hands: commands become actions on the store, and what the store and the server say becomes messages.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rejoin::{
    Conflict, DocumentId, Error, Origin, Result, Store, SyncOptions, SyncReport, WatchOptions,
    slice::{Changes, EntityMap, Selector, SliceHandle},
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{
    clock,
    slices::{Note, NoteAction, Notes, Search, Settings, typed},
    splice::Splice,
    state::{About, App, Command, Link, Loaded, Message, Met, Overview},
};

/// The local name of the notebook that is opened when none is named.
const NOTEBOOK: &str = "field-notes";

/// How long the last edits may take to the server when the app ends. They are kept in any case.
const FAREWELL: Duration = Duration::from_secs(2);

/// A server that went away is looked for again within this time. Few share a notebook: nobody has to spread a crowd
/// over half a minute, and people soon see that the server is away.
const RECONNECT: Duration = Duration::from_secs(2);

/// How often a burst of typing is put where it belongs when others keep writing into the same text.
const TRIES: usize = 8;

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) store: PathBuf,
    pub(crate) server: Option<String>,
    pub(crate) join: Option<DocumentId>,
    pub(crate) author: Option<String>,
    /// How often the server is asked for news.
    pub(crate) poll: Duration,
}

/// One notebook in one store.
pub(crate) struct Device {
    store: Store,
    document: DocumentId,
    notes: SliceHandle<Notes>,
    settings: SliceHandle<Settings>,
    search: SliceHandle<Search>,
    listed: Selector<Notes, EntityMap<Note>, EntityMap<Note>>,
    overview: Selector<Notes, EntityMap<Note>, Overview>,
    /// What was loaded last.
    held: Loaded,
    outbox: UnboundedSender<Message>,
    poll: Duration,
    /// Follows the server until this is dropped.
    follower: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// Opens the notebook, and the app as it was left.
pub(crate) async fn open(options: &Options) -> Result<(Device, App, UnboundedReceiver<Message>)> {
    let store =
        Store::builder(&options.store).slice::<Notes>().slice::<Settings>().slice::<Search>().open().await?;
    if let Some(server) = &options.server {
        store.set_server(Some(server)).await?;
    }
    if let Some(author) = &options.author {
        store.set_author(Some(author)).await?;
    }
    let document = notebook(&store, options.join).await?;
    let (outbox, inbox) = unbounded_channel();
    let notes = store.slice::<Notes>(document);
    let mut device = Device {
        listed: notes.select("/items", EntityMap::clone),
        overview: notes.select("/items", Overview::of),
        settings: store.slice(document),
        search: store.slice(document),
        notes,
        held: Loaded::default(),
        outbox,
        poll: options.poll,
        follower: None,
        document,
        store,
    };
    let (settings, search) = (device.settings.state().await?, device.search.state().await?);
    let mut app = App::new(device.about().await?, settings, search.text);
    let loaded = device.load().await?;
    app.update(Message::Loaded(loaded));
    device.listen();
    device.follow();
    Ok((device, app, inbox))
}

/// The notebook that was asked for: joined where it is not here yet.
async fn notebook(store: &Store, join: Option<DocumentId>) -> Result<DocumentId> {
    let usual = store.find(NOTEBOOK).await;
    let Some(id) = join else {
        return match usual {
            Err(Error::UnknownDocument(_)) => store.create(None, Some(NOTEBOOK)).await,
            other => other,
        };
    };
    match store.document(id).await {
        Ok(_) => Ok(id),
        Err(Error::UnknownDocument(_)) => store.join(id, usual.is_err().then_some(NOTEBOOK), None).await,
        Err(error) => Err(error),
    }
}

impl Device {
    async fn about(&self) -> Result<About> {
        let remembered = self.store.settings().await?;
        let server = self.store.document(self.document).await?.server.or(remembered.server);
        let address = server.as_deref().unwrap_or("URL");
        let share = format!("field_notes --server {address} --join {}", self.document);
        Ok(About { author: remembered.author, server, share })
    }

    /// What happens to the notes from now on.
    pub(crate) fn changes(&self) -> Changes<Notes> {
        self.notes.changes()
    }

    /// Where messages to the app go.
    pub(crate) fn outbox(&self) -> UnboundedSender<Message> {
        self.outbox.clone()
    }

    /// Tells of everything that happens to the notes: by this app, by others, by another window on this store.
    fn listen(&self) {
        let (mut changes, outbox) = (self.changes(), self.outbox.clone());
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let other = change.change.filter(|_| change.origin == Origin::Remote);
                let by = other.map(|change| change.author.unwrap_or_else(|| "Somebody".to_owned()));
                if outbox.send(Message::Heard(by)).is_err() {
                    return;
                }
            }
        });
    }

    /// Stays in step with the server, from now on and without waiting for a turn. Without a server, nothing is
    /// missing.
    fn follow(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (store, outbox) = (self.store.clone(), self.outbox.clone());
        let only = SyncOptions::default().documents([self.document]);
        let options = WatchOptions::default().poll(self.poll).reconnect(RECONNECT).sync(only);
        let following = tokio::spawn(async move {
            let tell = |link| drop(outbox.send(Message::Linked(link)));
            let watched = store.watch(options, |report| tell(link_of(report)), async { drop(stopped.await) });
            if let Err(error) = watched.await {
                tell(Link::Trouble(error.to_string()));
            }
        });
        self.follower = Some((stop, following));
    }

    /// Carries out a command, and says what came of it.
    pub(crate) async fn run(&mut self, command: Command) -> Vec<Message> {
        match self.carry_out(command).await {
            Ok(messages) => messages,
            Err(Error::Rejected { reason, .. }) => vec![Message::Failed(format!("Not done: {reason}."))],
            Err(error) => vec![Message::Failed(error.to_string())],
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<Vec<Message>> {
        let mut told = Vec::new();
        match command {
            Command::Load => {}
            Command::Add { title, body } => {
                let id = Uuid::new_v4().to_string();
                self.notes.dispatch(NoteAction::Added { id: id.clone(), title, body }).await?;
                told.push(Message::Added(id));
            }
            Command::Note(action) => {
                self.notes.dispatch(action).await?;
            }
            Command::Type { id, seen, text } => {
                let now = self.keep(&id, seen, &text).await?;
                told.push(Message::Kept { id, now });
            }
            Command::Undo => told.push(undone(false, self.store.undo(self.document).await?)),
            Command::Redo => told.push(undone(true, self.store.redo(self.document).await?)),
            Command::Take { path } => {
                self.store.take(self.document, &path, 1).await?;
            }
            Command::Settings(action) => {
                self.settings.dispatch(action).await?;
                return Ok(told);
            }
            Command::Search(action) => {
                self.search.dispatch(action).await?;
                return Ok(told);
            }
            Command::Sync => {
                self.follow();
                return Ok(told);
            }
            Command::Quit => return Ok(told),
        }
        told.push(Message::Loaded(self.load().await?));
        Ok(told)
    }

    /// Writes a burst of typing where it belongs. When words of others came in since the person saw the text, the
    /// reducer refuses, and the burst is moved to where it belongs among them.
    async fn keep(&mut self, id: &str, mut seen: String, text: &str) -> Result<String> {
        let mut burst = Splice::between(&seen, text);
        for _ in 1..TRIES {
            let result = self.notes.dispatch(typed(id, &seen, &burst)).await;
            let Err(error @ Error::Rejected { .. }) = result else {
                return result.map(|_| burst.apply(&seen));
            };
            let now = self.listed.get().await?.get(id).map(|note| note.body.clone());
            let Some(now) = now.filter(|now| *now != seen) else { return Err(error) };
            burst = burst.over(&Splice::between(&seen, &now));
            seen = now;
        }
        self.notes.dispatch(typed(id, &seen, &burst)).await?;
        Ok(burst.apply(&seen))
    }

    async fn load(&mut self) -> Result<Loaded> {
        let (notes, overview) = (self.listed.get().await?, self.overview.get().await?);
        if !Arc::ptr_eq(&notes, &self.held.notes) {
            // Before the first note nothing is there to be read.
            let met = self.store.conflicts(self.document, "").await?;
            self.held.met = Arc::new(met.iter().filter_map(met_of).collect());
        }
        let document = self.store.document(self.document).await?;
        let met = Arc::clone(&self.held.met);
        self.held = Loaded { notes, overview, met, waiting: document.queued, parked: document.parked };
        Ok(self.held.clone())
    }

    /// Ends: what waits is sent, where the server was there a moment ago and takes it quickly.
    pub(crate) async fn close(mut self, link: &Link) -> Result<()> {
        if let Some((stop, following)) = self.follower.take() {
            drop(stop);
            // It fails only if it panicked, which was told where it happened.
            let _ = following.await;
        }
        let document = self.store.document(self.document).await?;
        if document.queued > 0 && *link == Link::InStep {
            let options = SyncOptions::default().documents([self.document]).timeout(FAREWELL);
            let _ = tokio::time::timeout(FAREWELL, self.store.sync(options)).await;
        }
        Ok(())
    }
}

fn link_of(report: &SyncReport) -> Link {
    match report.worst() {
        None => Link::InStep,
        Some(Error::NoServer) => Link::Alone,
        Some(error @ Error::Unreachable(_)) => {
            Link::Offline { since: clock::time_of_day(clock::now()), why: error.to_string() }
        }
        Some(error) => Link::Trouble(error.to_string()),
    }
}

fn undone(redo: bool, undone: Option<rejoin::Undone>) -> Message {
    let action = undone.map(|undone| undone.action_type.unwrap_or_else(|| "an action".to_owned()));
    Message::Undone { redo, action }
}

/// The hidden value at a field of a note where concurrent writes met.
fn met_of(conflict: &Conflict) -> Option<Met> {
    let id = conflict.path.strip_prefix("/notes/items/")?.split('/').next()?.to_owned();
    let hidden = conflict.values.get(1)?;
    let value = hidden.value.as_str().map_or_else(|| hidden.value.to_string(), str::to_owned);
    let by = hidden.writer.author.as_deref().unwrap_or("somebody");
    let field = conflict.path.rsplit('/').next().unwrap_or_default();
    Some(Met { id, other: format!("{field}: “{value}” by {by}"), path: conflict.path.clone() })
}

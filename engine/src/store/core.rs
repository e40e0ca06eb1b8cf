//! The one that does the work: alone with its file, synchronously, a transaction a verb.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{broadcast, watch};

use super::{
    Durability, Event, Millis, Settings,
    foreign::Heard,
    mark::Mark,
    open::{self, Opened, get_meta, lock_path, set_meta, unset_meta},
    prove::Prover,
    read_only,
    replica::Replicas,
    rows,
    underneath::Underneath,
    views::Looking,
};
use crate::{
    Actor, DocumentId, Error, Result, ServerAddress,
    fence::Limits,
    job::ThunkInfo,
    slice::{Committed, Registry},
    verify::VerifyCommand,
};

/// How many events a slow subscriber may be behind before it loses the oldest.
const EVENTS_KEPT: usize = 1_024;

/// How soon an action must come to join the step before it, in milliseconds, where nothing else is said.
const UNDO_WINDOW: Millis = 1_000;

/// A store without a thread: [`crate::Store`] gives it one; a simulator calls it as it is.
///
/// After an error of the file itself the open documents are thrown away and read again: memory never
/// knows more than the disk.
///
/// ```
/// use rejoin::{Action, store::Core};
/// let mut core = Core::open_in_memory().unwrap();
/// let id = core.create(None, Some("notes")).unwrap();
/// let set = Action::Set { path: "/title".into(), value: "Hello".into() };
/// core.dispatch(&[(id, set)]).unwrap()[0].as_ref().unwrap();
/// assert_eq!(core.state(id, "/title", None).unwrap(), "Hello");
/// ```
pub struct Core {
    pub(super) connection: Connection,
    pub(super) replicas: Replicas,
    pub(super) actor: Actor,
    pub(super) author: Option<String>,
    pub(super) limits: Limits,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) queued: watch::Sender<u64>,
    pub(super) asked: watch::Sender<u64>,
    /// What the trash keeps where nothing was remembered.
    pub(super) usual_trash: Option<super::TrashLimits>,
    /// How old the step before may be that an action of its group joins.
    undo_window: Millis,
    mark: Option<Mark>,
    path: Option<PathBuf>,
    read_only: bool,
    underneath: Option<Underneath>,
    clock: Box<dyn Fn() -> Millis + Send>,
    nonces: Box<dyn FnMut() -> u64 + Send>,
    pub(super) registry: Registry,
    /// Tries elsewhere what was sent.
    pub(super) prover: Option<Prover>,
    pub(super) thunk_events: broadcast::Sender<ThunkInfo>,
    /// Up to which commit those who listen were told about thunks; `None` while nobody listens.
    pub(super) thunks_told: Option<i64>,
    /// Woken by every commit, and by those of other processes while someone waits for it.
    pub(super) stirred: watch::Sender<u64>,
    pub(super) stirred_version: i64,
    /// The slices that live in memory only.
    pub(super) memory: HashMap<DocumentId, automerge::Automerge>,
    pub(super) heard: Heard,
    /// What is kept read for those who look at it.
    pub(super) views: Vec<Looking>,
    #[cfg(feature = "planted-bugs")]
    pub(super) late_pending: Vec<(i64, i64, Option<String>, Millis)>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("path", &self.path).field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Core {
    /// Opens the store in this file, or makes it (mode 0600).
    ///
    /// # Errors
    /// [`Error::NotAStore`] and [`Error::NewerSchema`] leave the file alone; else what the file system says.
    pub fn open(path: &Path, durability: Durability) -> Result<Self> {
        Self::from_opened(open::open_file(path, durability)?, None)
    }

    /// As [`Core::open`], with a command that starts a process in which it is tried first what came from elsewhere.
    ///
    /// # Errors
    /// As [`Core::open`].
    pub fn open_verified(path: &Path, durability: Durability, verify: VerifyCommand) -> Result<Self> {
        Self::from_opened(open::open_file(path, durability)?, Some(verify))
    }

    /// A store that is only read: what is not there is not made, and nothing is written, not even beside it. Verbs that
    /// write fail with [`Error::ReadOnly`]. Not while this process has it open to write: closing this one would take that
    /// one's locks.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no file; as [`Core::open`].
    pub fn open_to_read(path: &Path) -> Result<Self> {
        Self::from_opened(read_only::open_to_read(path)?, None)
    }

    /// As [`Core::open`], and as [`Core::open_to_read`] where that cannot be done because the file, its directory or its
    /// disk cannot be written.
    ///
    /// # Errors
    /// As [`Core::open`].
    pub fn open_or_read(path: &Path, durability: Durability, verify: Option<VerifyCommand>) -> Result<Self> {
        let there = path.is_file();
        let opened = if there && !read_only::may_write(path) {
            Err(Error::ReadOnly)
        } else {
            open::open_file(path, durability)
        };
        match opened {
            // What cannot be read either is told as what it was; and never as what can be read.
            Err(error) if there && read_only::is_unwritable(&error) => {
                Self::open_to_read(path).map_err(|reading| match error {
                    Error::ReadOnly => read_only::why_unreadable(path).unwrap_or(reading),
                    error => error,
                })
            }
            opened => Self::from_opened(opened?, verify),
        }
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_in_memory() -> Result<Self> {
        Self::from_opened(open::open_memory()?, None)
    }

    /// A store on a connection that the caller opened: a simulator keeps its "disk" this way.
    ///
    /// # Errors
    /// As [`Core::open`].
    pub fn open_connection(connection: Connection) -> Result<Self> {
        Self::from_opened(open::open_given(connection)?, None)
    }

    fn from_opened(opened: Opened, verify: Option<VerifyCommand>) -> Result<Self> {
        let Opened { connection, actor, mark, path, underneath, read_only } = opened;
        let author = get_meta(&connection, "author")?;
        let mut core = Self {
            connection,
            replicas: Replicas::default(),
            actor,
            author,
            limits: Limits::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            queued: watch::Sender::new(0),
            asked: watch::Sender::new(0),
            usual_trash: None,
            undo_window: UNDO_WINDOW,
            mark,
            path,
            read_only,
            underneath,
            clock: Box::new(wall_clock),
            nonces: Box::new(rand::random::<u64>),
            registry: Registry::default(),
            prover: verify.map(Prover::new),
            thunk_events: broadcast::Sender::new(EVENTS_KEPT),
            thunks_told: None,
            stirred: watch::Sender::new(0),
            stirred_version: 0,
            memory: HashMap::new(),
            heard: Heard::default(),
            views: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            late_pending: Vec::new(),
        };
        // Opening does not depend on it.
        if !read_only && let Err(error) = core.retry_quarantined() {
            tracing::debug!(%error, "what is quarantined was not tried again");
        }
        Ok(core)
    }

    /// The slices, kinds of documents and middleware of this store.
    pub(crate) fn set_registry(&mut self, registry: Registry) {
        self.registry = registry;
    }

    /// How soon after the last action of its group an action must come to be one step of undo with it: see
    /// [`crate::UndoStep::group`]. One second, where nothing is said.
    pub fn set_undo_window(&mut self, window: Duration) {
        self.undo_window = Millis::try_from(window.as_millis()).unwrap_or(Millis::MAX);
    }

    /// Gives back the connection: what a simulator reopens after a "crash".
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Where those who wait for work listen: what happens to thunks, and that anything happened.
    pub(crate) fn work_senders(&self) -> (broadcast::WeakSender<ThunkInfo>, watch::Receiver<u64>) {
        (self.thunk_events.downgrade(), self.stirred.subscribe())
    }

    /// The clock that new rows bear, milliseconds since 1970. No order depends on it.
    pub fn set_clock(&mut self, clock: Box<dyn Fn() -> Millis + Send>) {
        self.clock = clock;
    }

    /// Where nonces come from: the system's randomness, unless a simulator says otherwise. No two processes may get
    /// the same one.
    pub fn set_nonces(&mut self, nonces: Box<dyn FnMut() -> u64 + Send>) {
        self.nonces = nonces;
    }

    /// Makes this replica another one, as when positive evidence of a copy is found.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn take_fresh_actor(&mut self, actor: Actor) -> Result<()> {
        set_meta(&self.connection, "actor", &actor.to_hex_string())?;
        self.actor = actor;
        self.replicas = Replicas::default();
        Ok(())
    }

    /// Throws away what is in memory of all documents: the file says what is true.
    pub(crate) fn forget_replicas(&mut self) {
        self.replicas = Replicas::default();
    }

    /// The actor that changes made here bear.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(super) fn now(&self) -> Millis {
        (self.clock)()
    }

    /// The store's file; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether the store can only be read.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The side file, on which the process that syncs takes its lock; `None` in memory.
    pub fn mark_path(&self) -> Option<PathBuf> {
        self.path.as_deref().map(lock_path)
    }

    /// Where events are heard.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Where events are sent, for a handle that hands out subscriptions.
    pub(crate) fn event_sender(&self) -> broadcast::WeakSender<Event> {
        self.events.downgrade()
    }

    /// Woken when something becomes waiting in the queue.
    pub fn queue_signal(&self) -> watch::Receiver<u64> {
        self.queued.subscribe()
    }

    /// What is remembered for all documents.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn settings(&mut self) -> Result<Settings> {
        let server = get_meta(&self.connection, "server")?;
        let author = get_meta(&self.connection, "author")?;
        let allow_http_to = get_meta(&self.connection, "allow_http_to")?;
        let ca_file: Option<String> = get_meta(&self.connection, "ca_file")?;
        Ok(Settings { server, author, allow_http_to, ca_file: ca_file.map(PathBuf::from) })
    }

    /// Remembers that plain HTTP may be spoken to this server, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    pub fn set_allow_http_to(&mut self, server: Option<&str>) -> Result<()> {
        let server = server.map(clean_server).transpose()?;
        self.set_or_unset("allow_http_to", server.as_deref())
    }

    /// Remembers the file of certificates that are trusted beside this machine's, or forgets it.
    ///
    /// # Errors
    /// What SQLite says; [`Error::InvalidCertificates`] for a path that is not Unicode.
    pub fn set_ca_file(&mut self, path: Option<&Path>) -> Result<()> {
        let unreadable = || Error::InvalidCertificates("the path of their file is not Unicode".to_owned());
        let path = path.map(|path| path.to_str().ok_or_else(unreadable)).transpose()?;
        self.set_or_unset("ca_file", path)
    }

    /// Remembers the server's base address, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    pub fn set_server(&mut self, server: Option<&str>) -> Result<()> {
        let server = server.map(clean_server).transpose()?;
        self.set_or_unset("server", server.as_deref())
    }

    /// Remembers the name that changes made here bear from now on, or forgets it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_author(&mut self, author: Option<&str>) -> Result<()> {
        self.set_or_unset("author", author)?;
        self.author = author.map(str::to_owned);
        Ok(())
    }

    fn set_or_unset(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => set_meta(&self.connection, key, value)?,
            None => unset_meta(&self.connection, key)?,
        }
        Ok(())
    }

    /// Runs `work` in one write transaction on these documents. On any failure what is in memory of them
    /// is thrown away: the disk says what is true.
    pub(super) fn write<T>(
        &mut self,
        touched: &[DocumentId],
        work: impl FnOnce(&mut Writing<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        let now = self.now();
        let mut also = Vec::new();
        let result = (|| {
            let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let ordinal = rows::count_commit(&tx)?;
            if let Some(underneath) = &self.underneath {
                underneath.check()?;
            }
            // Another process on this store may have taken a fresh actor.
            if let Some(actor) = open::stored_actor(&tx)?
                && actor != self.actor
            {
                self.actor = actor;
                self.replicas = Replicas::default();
            }
            let listening = self.events.receiver_count() > 0;
            if listening {
                self.heard.tell_others(&tx, &self.events)?;
            }
            self.replicas.begin();
            let mut writing = Writing {
                tx: &tx,
                replicas: &mut self.replicas,
                actor: &self.actor,
                author: self.author.as_deref(),
                nonces: &mut self.nonces,
                limits: &self.limits,
                registry: &self.registry,
                undo_window: self.undo_window,
                prover: &mut self.prover,
                companions: Vec::new(),
                committed: Vec::new(),
                listening,
                ordinal,
                now,
                events: Vec::new(),
                enqueued: 0,
                asked: 0,
                worked: false,
                also: &mut also,
            };
            let value = work(&mut writing)?;
            let (events, enqueued, asked) = (writing.events, writing.enqueued, writing.asked);
            let (committed, worked) = (writing.committed, writing.worked);
            tx.commit()?;
            Ok((value, events, (enqueued, asked, worked), ordinal, committed))
        })();
        match result {
            Ok((value, events, (enqueued, asked, worked), ordinal, committed)) => {
                if let Some(mark) = &mut self.mark {
                    mark.write(ordinal);
                }
                for id in touched.iter().chain(&also) {
                    if let Some(replica) = self.replicas.peek(*id) {
                        self.heard.note(replica);
                    }
                }
                for event in events {
                    // Nobody listens: nothing is lost.
                    let _ = self.events.send(event);
                }
                if enqueued > 0 {
                    self.queued.send_modify(|n| *n += enqueued);
                }
                if asked > 0 {
                    self.asked.send_modify(|n| *n += asked);
                }
                if worked {
                    self.tell_thunks_from(Some(ordinal));
                }
                self.stirred.send_modify(|n| *n = n.wrapping_add(1));
                self.tell_middleware(&committed);
                Ok(value)
            }
            Err(error) => {
                for id in touched.iter().chain(&also) {
                    self.replicas.forget(*id);
                }
                self.replicas.forget_companions();
                if let Some(prover) = &mut self.prover {
                    prover.forget();
                }
                Err(error)
            }
        }
    }
}

/// What a verb has while its transaction is open.
pub(super) struct Writing<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) replicas: &'a mut Replicas,
    pub(super) actor: &'a Actor,
    pub(super) author: Option<&'a str>,
    pub(super) nonces: &'a mut (dyn FnMut() -> u64 + Send),
    pub(super) limits: &'a Limits,
    pub(super) registry: &'a Registry,
    pub(super) undo_window: Millis,
    pub(super) prover: &'a mut Option<Prover>,
    /// The companion documents that were written to.
    pub(super) companions: Vec<DocumentId>,
    /// What middleware is to be told after the commit.
    pub(super) committed: Vec<Committed>,
    /// Someone is subscribed: patches are wanted.
    pub(super) listening: bool,
    pub(super) ordinal: i64,
    pub(super) now: Millis,
    pub(super) events: Vec<Event>,
    pub(super) enqueued: u64,
    /// How much changed about effects.
    pub(super) asked: u64,
    /// Something about thunks changed.
    pub(super) worked: bool,
    /// Documents that the work touches without its caller knowing them beforehand.
    pub(super) also: &'a mut Vec<DocumentId>,
}

fn wall_clock() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn clean_server(text: &str) -> Result<String> {
    let address: ServerAddress = text.parse().map_err(|_| Error::InvalidServer(text.to_owned()))?;
    Ok(address.into())
}

pub(super) fn clean_optional_server(server: Option<&str>) -> Result<Option<String>> {
    server.map(clean_server).transpose()
}

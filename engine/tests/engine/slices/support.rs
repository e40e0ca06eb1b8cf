//! A notebook with tasks, and two devices with a server between them.

use std::collections::BTreeMap;

use rejoin::{
    DocumentId, Store, SyncOptions,
    slice::{Draft, EntityMap, Rejection, Slice},
};
use rejoin_server::{AppState, ServerConfig, serve};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum TaskAction {
    Added {
        title: String,
    },
    Upserted {
        id: String,
        fields: Value,
    },
    Removed {
        id: String,
    },
    Noted {
        text: String,
    },
    Counted {
        by: i64,
    },
    /// Writes a thing and then fails.
    Spoilt,
    /// Writes a thing and then panics.
    Broken,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Task {
    pub(crate) title: String,
    pub(crate) done: bool,
    pub(crate) labels: BTreeMap<String, Value>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Tasks {
    pub(crate) items: EntityMap<Task>,
    pub(crate) notes: String,
    pub(crate) count: i64,
}

pub(crate) struct TaskSlice;

impl Slice for TaskSlice {
    const NAME: &'static str = "tasks";
    type State = Tasks;
    type Action = TaskAction;

    fn reduce(draft: &mut Draft<'_>, action: &TaskAction) -> Result<(), Rejection> {
        match action {
            TaskAction::Added { title } => {
                let id = draft.info().id.to_string();
                let task = serde_json::json!({"title": title, "done": false});
                draft.entities("/items").add(&id, task).map(drop)
            }
            TaskAction::Upserted { id, fields } => draft.entities("/items").upsert(id, fields),
            TaskAction::Removed { id } => draft.entities("/items").remove(id).map(drop),
            TaskAction::Noted { text } => draft.update_text("/notes", text),
            TaskAction::Counted { by } => draft.increment("/count", *by),
            TaskAction::Spoilt => {
                draft.set("/spoilt", true)?;
                Err("milk".into())
            }
            TaskAction::Broken => {
                draft.set("/spoilt", true)?;
                panic!("glass")
            }
        }
    }
}

/// A store in a directory of its own.
pub(crate) struct Device {
    pub(crate) store: Store,
    pub(crate) place: TempDir,
}

impl Device {
    pub(crate) async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Store::builder(place.path().join("store.db")).slice::<TaskSlice>().open().await.unwrap();
        Self { store, place }
    }
}

/// A real server in this process.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) _stop: oneshot::Sender<()>,
    pub(crate) _place: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let state = AppState::open(ServerConfig::new(place.path().join("server.db"))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(serve(listener, state, async move { drop(stopped.await) }));
        Self { url, _stop: stop, _place: place }
    }

    pub(crate) async fn sync(&self, stores: &[&Store]) {
        for store in stores.iter().chain(stores) {
            let report = store.sync(SyncOptions::default().server(&self.url)).await.unwrap();
            assert!(report.worst().is_none(), "{report:?}");
        }
    }
}

/// Two devices that share an empty document, and the server.
pub(crate) async fn two_devices() -> (Device, Device, Server, DocumentId) {
    let (a, b, server) = (Device::new().await, Device::new().await, Server::start().await);
    let id = a.store.create(None, None).await.unwrap();
    b.store.join(id, None, None).await.unwrap();
    (a, b, server, id)
}

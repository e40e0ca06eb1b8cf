//! The demo's server: the real one, on a free loopback port, that can be stopped and started again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rejoin_server::{AppState, Figures, ServerConfig, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{CliError, Result};

/// A server that runs.
pub(super) struct Server {
    database: PathBuf,
    address: SocketAddr,
    state: AppState,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// A server that was stopped: its database and its port are as they were.
pub(super) struct Stopped {
    database: PathBuf,
    address: SocketAddr,
}

impl Server {
    /// On a free port of this machine.
    pub(super) async fn start(database: PathBuf) -> Result<Self> {
        Stopped { database, address: (Ipv4Addr::LOCALHOST, 0).into() }.start().await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has committed since it was started.
    pub(super) fn figures(&self) -> Figures {
        self.state.figures()
    }

    /// Returns when nobody listens any more.
    pub(super) async fn stop(self) -> Result<Stopped> {
        // A server that ended by itself needs no telling, and its own error is told below.
        let _ = self.stop.send(());
        self.task.await.map_err(|e| failed(e.into()))?.map_err(failed)?;
        Ok(Stopped { database: self.database, address: self.address })
    }
}

impl Stopped {
    /// On the same database and port.
    pub(super) async fn start(self) -> Result<Server> {
        let listener = TcpListener::bind(self.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state =
            AppState::open(ServerConfig::new(&self.database)).map_err(|e| failed(io::Error::other(e)))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // A sender that is dropped stops it too.
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, state.clone(), shutdown));
        Ok(Server { database: self.database, address, state, stop, task })
    }
}

fn failed(error: io::Error) -> CliError {
    CliError::io("the demo's server failed", error)
}

//! Connections: accepted, given deadlines, and drained.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::paced::Paced;
use crate::{AppState, ServerConfig};

/// Largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// How long to wait where the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves; then open requests get the drain time, what was pushed is committed, and
/// the log is closed. Whoever calls binds the listener, and so chooses the address.
///
/// # Errors
/// Where the listener is not on a loopback address and no token was ever made: without tokens nothing else is served.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        refuse_without_tokens(address, &state)?;
    }
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    accept(&listener, &state, (&graceful, &mut connections), shutdown).await;
    drop(listener);
    // A stream has no end of its own: it would last until the drain time is over.
    state.shared.hub.close();
    let drained = tokio::time::timeout(state.shared.config.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut at the end of the drain time");
    }
    connections.shutdown().await;
    state.close().await;
    Ok(())
}

/// Without tokens everybody who can connect may do everything.
fn refuse_without_tokens(address: SocketAddr, state: &AppState) -> io::Result<()> {
    if state.shared.gate.was_guarded() {
        tracing::warn!(
            %address,
            "plain HTTP beyond this machine: tokens and documents can be read on the way. \
             Put a proxy with TLS in front."
        );
        return Ok(());
    }
    let why = format!("{address} is not a loopback address, and without tokens no other is served");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

async fn accept(
    listener: &TcpListener,
    state: &AppState,
    (graceful, connections): (&GracefulShutdown, &mut JoinSet<()>),
    shutdown: impl Future<Output = ()>,
) {
    let service = TowerToHyperService::new(super::router(state.clone()));
    let room = Arc::new(Semaphore::new(state.shared.config.connections.max(1)));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => return,
            next = next => next,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(NO_ROOM).await;
                continue;
            }
        };
        let connection = connection(stream, service.clone(), &state.shared.config);
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            let _permit = permit;
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

type Service = TowerToHyperService<axum::Router>;

fn connection(
    stream: TcpStream,
    service: Service,
    config: &ServerConfig,
) -> http1::Connection<TokioIo<Paced>, Service> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with delayed sends");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Paced::new(stream, config.body_timeout)), service)
}

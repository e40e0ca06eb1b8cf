//! Connections: accepted, given deadlines, and drained.

use std::{io, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use axum::{Extension, extract::ConnectInfo, middleware::AddExtension};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::Layer as _;

use super::{
    connections::{Connections, Visit},
    paced::Paced,
};
use crate::{AppState, ServerConfig, rate_limit::Peer, watched};

/// Largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a TLS handshake may take, at most; never longer than the head of a request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait where the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves; then open requests get the drain time, what was pushed is committed, and
/// the log is closed. Whoever calls binds the listener, and so chooses the address. Meanwhile certificate and keys are
/// read again when their files change.
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
    // Ends with this function.
    let mut looking = JoinSet::new();
    looking.spawn(look_at_files(state.clone()));
    accept(&listener, &state, (&graceful, &mut connections), shutdown).await;
    state.shared.draining.store(true, Ordering::Release);
    drop(listener);
    looking.shutdown().await;
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
    if state.shared.auth_reader.was_guarded() {
        if state.shared.tls.is_some() {
            return Ok(());
        }
        tracing::warn!(
            %address,
            "plain HTTP beyond this machine: tokens and documents can be read on the way. \
             Name a certificate with --tls-cert and --tls-key, or put a proxy with TLS in front."
        );
        return Ok(());
    }
    let why = format!("{address} is not a loopback address, and without tokens no other is served");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// Looks now and then whether certificate or keys changed.
async fn look_at_files(state: AppState) {
    loop {
        tokio::time::sleep(watched::LOOK).await;
        let state = state.clone();
        if tokio::task::spawn_blocking(move || state.reload()).await.is_err() {
            tracing::error!("the files of certificate and keys could not be looked at");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    state: &AppState,
    (graceful, connections): (&GracefulShutdown, &mut JoinSet<()>),
    shutdown: impl Future<Output = ()>,
) {
    let router = super::router(state.clone());
    let config = &state.shared.config;
    let room = Connections::new(config.connections, config.address_connections);
    // Dropped with this function: then handshakes end.
    let (_open, closing) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                room.make_room();
                tokio::time::sleep(NO_ROOM).await;
                continue;
            }
        };
        let Some(visit) = room.enter(Peer::new(Some(peer.ip()))) else {
            tracing::debug!(%peer, "a connection was refused: all others are at work");
            continue;
        };
        let (watcher, closing) = (graceful.watcher(), closing.clone());
        let router = Extension(visit.clone()).layer(router.clone());
        let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router));
        let state = state.clone();
        let served = async move {
            let config = &state.shared.config;
            let stream = paced(stream, config);
            let ended = match &state.shared.tls {
                None => watcher.watch(connection(stream, service, config)).await,
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.current());
                    match shake_hands(acceptor, stream, (closing, config.header_timeout)).await {
                        Ok(stream) => watcher.watch(connection(stream, service, config)).await,
                        Err(error) => {
                            tracing::debug!(%error, "a connection came to no TLS");
                            return;
                        }
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        };
        connections.spawn(async move {
            tokio::select! {
                () = served => {}
                () = visit.ended() => tracing::debug!(%peer, "a connection made room for others"),
            }
        });
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: Paced,
    (mut closing, longest): (watch::Receiver<()>, Duration),
) -> io::Result<tokio_rustls::server::TlsStream<Paced>> {
    tokio::select! {
        shaken = tokio::time::timeout(longest.min(HANDSHAKE), acceptor.accept(stream)) => {
            shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        // Nobody sends there: it is over when the sender goes.
        _ = closing.changed() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// The router, told whose connection it is.
type Service = TowerToHyperService<AddExtension<AddExtension<axum::Router, Visit>, ConnectInfo<SocketAddr>>>;

fn paced(stream: TcpStream, config: &ServerConfig) -> Paced {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with delayed sends");
    }
    Paced::new(stream, (config.body_timeout, config.body_rate))
}

fn connection<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    service: Service,
    config: &ServerConfig,
) -> http1::Connection<TokioIo<S>, Service> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
}

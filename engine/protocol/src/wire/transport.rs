//! Why a request got no answer.

/// Why no reply came, or none that can be used. None of these is ever an acknowledgement: what was sent may
/// or may not have been stored, and is offered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection: nobody listens, the name is unknown, there is no network.
    #[error("no connection ({0})")]
    NoConnection(String),
    /// A deadline passed.
    #[error("no answer in time ({0})")]
    TimedOut(String),
    /// The connection broke, or the reply ended before its length.
    #[error("the connection broke ({0})")]
    Broken(String),
    /// What answers speaks another protocol, or under another name (TLS).
    #[error("what answers is not a sync server ({0})")]
    NotASyncServer(String),
    /// The reply is larger than is taken, as it travels or decoded. The limit is in bytes.
    #[error("the reply is larger than {0} bytes")]
    TooLarge(usize),
}

//! What is told to those who listen: after a commit, once a document, and never waiting for anybody.

mod hub;
mod note;
mod stream;
mod watch;

pub(crate) use hub::{Hub, Topics};
pub use note::event_since;
pub(crate) use note::{Publisher, spans};
pub(crate) use stream::Stream;
pub(crate) use watch::watch;

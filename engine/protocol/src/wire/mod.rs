//! The resources of the sync protocol as plain values: what is asked, what is answered. The HTTP driver
//! and the server's handlers translate them; the simulator passes them as they are.

mod json;
mod request;
mod transport;

pub use json::{
    ChangesEvent, DocumentEntry, DocumentsReply, LimitsReply, MissingReply, MissingRequest, Problem,
    PushReply, PushedBy, PushersReply, Rejected,
};
pub use request::{CHANGES, EVENTS, HEADS_TOLD, JSON, OCTETS, PACK, PROBLEM, Request, Response, header};
pub use transport::TransportError;

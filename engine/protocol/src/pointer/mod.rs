//! Places in a document, named by JSON Pointers (RFC 6901): reading the text, and finding what is there.

mod error;
mod place;

pub use error::{ActionError, Kind, kind_of};
pub use place::{
    MAX_DEPTH, Place, find, first_gap, gap, join, parse_pointer, parse_pointer_to_read, past_end, prefix,
};

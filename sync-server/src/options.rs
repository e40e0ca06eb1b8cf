//! The options that say what a server takes and how much of the machine, each declared once: what it is for, its type, how it
//! is written, and its default. The limits, the configuration and the command line are made from this table; what
//! `GET /v1/limits` tells of them is in `rejoin_protocol::wire::LimitsReply`.

use std::{str::FromStr, time::Duration};

/// Gives the table to a macro. Of `change` the fields are those of [`rejoin_protocol::fence::Limits`].
#[doc(hidden)]
#[macro_export]
macro_rules! each_option {
    ($make:ident) => {
        $make! {
            change {
                /// Largest plain change
                change_bytes as change_bytes: usize = SIZE "1MiB", "REJOIN_CHANGE_BYTES";
                /// Most operations in a change
                operations as change_operations: u64 = N "100000", "REJOIN_CHANGE_OPERATIONS";
                /// Most dependencies of a change
                dependencies as change_dependencies: usize = N "4096", "REJOIN_CHANGE_DEPENDENCIES";
            }
            limits {
                /// Largest request body as it travels
                body_bytes: usize = SIZE "16MiB", "REJOIN_BODY_BYTES";
                /// Largest request body after content decoding
                inflated_body_bytes: usize = SIZE "32MiB", "REJOIN_INFLATED_BODY_BYTES";
                /// Most changes in a push
                push_changes: usize = N "100000", "REJOIN_PUSH_CHANGES";
                /// Most changes in a page of a log
                page_changes: usize = N "10000", "REJOIN_PAGE_CHANGES";
                /// Largest page of a log
                page_bytes: usize = SIZE "4MiB", "REJOIN_PAGE_BYTES";
                /// Most hashes in a `missing` question; a body of JSON may have 96 bytes for each, and 64 KiB (`json_bytes`)
                missing_hashes: usize = N "32768", "REJOIN_MISSING_HASHES";
                /// Most fields in a body of JSON
                json_fields: usize = N "256", "REJOIN_JSON_FIELDS";
                /// Most objects and lists inside one another in a body of JSON
                json_nesting: usize = N "32", "REJOIN_JSON_NESTING";
                /// Most documents in a page of their list
                list_documents: usize = N "1000", "REJOIN_LIST_DOCUMENTS";
                /// Largest log of a document, in plain bytes
                document_bytes: u64 = SIZE "1GiB", "REJOIN_DOCUMENT_BYTES";
                /// Most heads of a document: one more is refused to an actor of whom the log holds nothing
                document_heads: u64 = N "4096", "REJOIN_DOCUMENT_HEADS";
                /// Most actors of a document, beside those of containers
                document_actors: u64 = N "4096", "REJOIN_DOCUMENT_ACTORS";
                /// Requests a second that whoever bears a token, or JWTs of one `sub`, may go on making; 0 for as many as they like
                request_rate: u32 = N "200", "REJOIN_REQUEST_RATE";
                /// Requests that they may make at once, after a rest
                request_burst: u32 = N "5000", "REJOIN_REQUEST_BURST";
                /// Requests a second without a good token that one address may go on making; 0 for as many as it likes. Behind a
                /// proxy all have its address: where a good token was shown within 10 minutes, no others are held back
                failure_rate: u32 = N "10", "REJOIN_FAILURE_RATE";
                /// So many it may make at once, after a rest
                failure_burst: u32 = N "500", "REJOIN_FAILURE_BURST";
                /// Largest log, in plain bytes, that a merged document or a snapshot is made from
                merge_bytes: u64 = SIZE "256MiB", "REJOIN_MERGE_BYTES";
            }
            config {
                /// How many documents are merged at once
                merges: usize = N "1", "REJOIN_MERGES";
                /// Memory for merged documents, as estimated
                cache_bytes: usize = SIZE "64MiB", "REJOIN_CACHE_BYTES";
                /// Memory for request bodies, all together; who bears one token has half of it at most
                body_memory: usize = SIZE "128MiB", "REJOIN_BODY_MEMORY";
                /// Memory for replies until they are read, all together; who bears one token has a quarter of it at most, and no
                /// merged document or snapshot is larger than that
                reply_memory: usize = SIZE "128MiB", "REJOIN_REPLY_MEMORY";
                /// Most connections at once
                connections: usize = N "16384", "REJOIN_CONNECTIONS";
                /// Most connections of one address, of IPv6 of a /64; 0 for as many as it likes, as behind a proxy on another machine.
                /// Addresses of this machine have no such limit
                address_connections: usize = N "2048", "REJOIN_ADDRESS_CONNECTIONS";
                /// Most event streams at once
                streams: usize = N "12288", "REJOIN_STREAMS";
                /// Most event streams at once of whoever bears a token, or JWTs of one `sub`
                token_streams: usize = N "1024", "REJOIN_TOKEN_STREAMS";
                /// Most requests at once of whoever bears a token, or JWTs of one `sub`
                token_requests: usize = N "128", "REJOIN_TOKEN_REQUESTS";
                /// How often an event stream says something where nothing happens; at most 15s
                heartbeat: Duration = TIME "10s", "REJOIN_HEARTBEAT";
                /// Most pushes that wait to be committed
                waiting_pushes: usize = N "1024", "REJOIN_WAITING_PUSHES";
                /// Connections to the database that read
                readers: usize = N "4", "REJOIN_READERS";
                /// How long the head of a request may take, and a connection stay idle
                header_timeout: Duration = TIME "30s", "REJOIN_HEADER_TIMEOUT";
                /// How long a body may take, in either direction, beside the time its bytes get
                body_timeout: Duration = TIME "20s", "REJOIN_BODY_TIMEOUT";
                /// The slowest pace of a body, in either direction, that is waited for, a second
                body_rate: u64 = SIZE "16KiB", "REJOIN_BODY_RATE";
                /// How long an answer may take once the body is there
                request_timeout: Duration = TIME "30s", "REJOIN_REQUEST_TIMEOUT";
                /// How long open requests may take after a signal; at most 9s
                drain_timeout: Duration = TIME "8s", "REJOIN_DRAIN_TIMEOUT";
                /// How long a document is left alone before its whole log is packed
                compact_quiet: Duration = TIME "10m", "REJOIN_COMPACT_QUIET";
                /// Fewest changes for which that is done
                compact_least: u64 = N "64", "REJOIN_COMPACT_LEAST";
                /// How long one trial to verify a document may take, beside a second for each MiB of its log
                verify_timeout: Duration = TIME "10s", "REJOIN_VERIFY_TIMEOUT";
                /// Most memory, as address space, of a process that verifies documents
                verify_memory: u64 = SIZE "2GiB", "REJOIN_VERIFY_MEMORY";
                /// How long a document is left alone before it is verified and its snapshot is made
                snapshot_quiet: Duration = TIME "500ms", "REJOIN_SNAPSHOT_QUIET";
            }
        }
    };
}

/// Reads a value of the table: `SIZE`, `TIME` or `N`.
#[doc(hidden)]
#[macro_export]
macro_rules! option_reader {
    (SIZE $type:ty) => {
        $crate::options::size::<$type>
    };
    (TIME $type:ty) => {
        $crate::options::time
    };
    (N $type:ty) => {
        $crate::options::number::<$type>
    };
}

/// A default of the table, which is one of its own values.
#[doc(hidden)]
#[macro_export]
macro_rules! option_default {
    ($read:ident $type:ty, $text:literal) => {
        $crate::option_reader!($read $type)($text).unwrap_or_default()
    };
}

/// Reads `512`, `64KiB`, `16MiB`, `1GiB`.
///
/// # Errors
/// What a size is, for what is none, or is too large here.
pub fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1));
    let number = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let size = number.and_then(|number| T::try_from(number).ok());
    size.ok_or_else(|| "a size is bytes, or a number with KiB, MiB or GiB".to_owned())
}

/// Reads `500ms`, `30s`, `5m`; a bare number is seconds.
///
/// # Errors
/// What a time is, for what is none.
pub fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1_000));
    let millis = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| "a time is like 500ms, 30s or 5m".to_owned())
}

/// Reads a whole number.
///
/// # Errors
/// Why it is none.
pub fn number<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_take_units() {
        assert_eq!(size("16MiB"), Ok(16_usize << 20));
        assert_eq!(size("512"), Ok(512_u64));
        assert!(size::<u64>("x").is_err() && size::<u64>("-1").is_err() && size::<u8>("1KiB").is_err());
        assert_eq!(time("500ms").map(|time| time.as_millis()), Ok(500));
        assert_eq!(time("2m").map(|time| time.as_secs()), Ok(120));
        assert!(time("soon").is_err());
    }

    /// A default that cannot be read would be none.
    #[test]
    fn every_default_of_the_table_can_be_read() {
        macro_rules! read_all {
            (change { $( $(#[$c:meta])* $of:ident as $a:ident: $at:ty = $ar:ident $ad:literal, $ae:literal; )* }
             limits { $( $(#[$l:meta])* $b:ident: $bt:ty = $br:ident $bd:literal, $be:literal; )* }
             config { $( $(#[$f:meta])* $g:ident: $gt:ty = $gr:ident $gd:literal, $ge:literal; )* }) => {
                $( assert!(crate::option_reader!($ar $at)($ad).is_ok(), stringify!($a)); )*
                $( assert!(crate::option_reader!($br $bt)($bd).is_ok(), stringify!($b)); )*
                $( assert!(crate::option_reader!($gr $gt)($gd).is_ok(), stringify!($g)); )*
                $( assert_eq!($ae, concat!("REJOIN_", stringify!($a)).to_uppercase()); )*
                $( assert_eq!($be, concat!("REJOIN_", stringify!($b)).to_uppercase()); )*
                $( assert_eq!($ge, concat!("REJOIN_", stringify!($g)).to_uppercase()); )*
            };
        }
        crate::each_option!(read_all);
    }
}

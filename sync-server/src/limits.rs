//! The limits of a server, their defaults, and what `GET /v1/limits` tells of them.

use rejoin_protocol::fence;
use rejoin_protocol::wire::LimitsReply;

macro_rules! declare {
    (change { $( $(#[$_of:meta])* $field:ident as $_as:ident: $change_type:ty = $change_read:ident $change_default:literal, $_env:literal; )* }
     limits { $( $(#[$doc:meta])* $name:ident: $type:ty = $read:ident $default:literal, $_variable:literal; )* }
     config { $($_rest:tt)* }) => {
        /// What one request may ask of the server. Sizes are bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct ServerLimits {
            /// What one change may be.
            pub change: fence::Limits,
            $( $(#[$doc])* pub $name: $type, )*
        }

        impl Default for ServerLimits {
            fn default() -> Self {
                let mut change = fence::Limits::default();
                $( change.$field = crate::option_default!($change_read $change_type, $change_default); )*
                Self { change, $( $name: crate::option_default!($read $type, $default), )* }
            }
        }
    };
}

crate::each_option!(declare);

/// What a hash may take in a body of JSON: 64 digits, what stands around them, and some indentation.
const JSON_HASH: usize = 96;
/// What a body of JSON may have beside hashes.
const JSON_ROOM: usize = 64 * 1024;

impl ServerLimits {
    /// Largest body of JSON, as it travels and after content decoding: what the most hashes take, and some room.
    pub fn json_bytes(&self) -> usize {
        let hashes = self.missing_hashes.saturating_mul(JSON_HASH);
        hashes.saturating_add(JSON_ROOM).min(self.inflated_body_bytes)
    }

    /// As `GET /v1/limits` tells them; what is not one of these stays at its default.
    pub fn to_reply(&self) -> LimitsReply {
        LimitsReply {
            body_bytes: self.body_bytes as u64,
            inflated_body_bytes: self.inflated_body_bytes as u64,
            change_bytes: self.change.change_bytes as u64,
            change_operations: self.change.operations,
            change_dependencies: self.change.dependencies as u64,
            push_changes: self.push_changes as u64,
            page_changes: self.page_changes as u64,
            missing_hashes: self.missing_hashes as u64,
            json_bytes: self.json_bytes() as u64,
            json_fields: self.json_fields as u64,
            json_nesting: self.json_nesting as u64,
            document_bytes: self.document_bytes,
            document_heads: self.document_heads,
            document_actors: self.document_actors,
            merge_bytes: self.merge_bytes,
            page_bytes: self.page_bytes as u64,
            list_documents: self.list_documents as u64,
            request_rate: u64::from(self.request_rate),
            request_burst: u64::from(self.request_burst),
            failure_rate: u64::from(self.failure_rate),
            failure_burst: u64::from(self.failure_burst),
            ..LimitsReply::default()
        }
    }
}

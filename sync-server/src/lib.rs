//! The sync server of rejoin.

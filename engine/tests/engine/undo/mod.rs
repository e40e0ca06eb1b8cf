//! The promises of undo and redo, on real stores.
mod beside;
mod claims;
mod met;
mod odd;
mod random;
mod revert;
mod square;
mod stack;
mod steps;
mod support;

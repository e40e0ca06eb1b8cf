//! Who pushed what, by runs of a log.

/// Neighbouring changes of a log that one pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushedRun {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// `None`: nobody is known.
    pub(crate) by: Option<String>,
}

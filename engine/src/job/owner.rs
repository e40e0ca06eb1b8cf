//! Who holds a lease: a process, told apart from those that ran before it, and one of its leases.
//!
//! "A lease also needs a living owner": where the owner can be seen from here and is gone, nobody waits for the
//! lease to run out. Linux shows its processes. Everywhere else a process holds a file that is locked while it lives.

mod held;
mod shown;

use uuid::Uuid;

/// A name for a new lease of this process.
pub(crate) fn new_lease() -> String {
    let process = shown::here().or_else(held::here).unwrap_or_else(|| "elsewhere".to_owned());
    format!("{process} {}", Uuid::new_v4())
}

/// Whether the process that took this lease is known to be gone. `false` where that cannot be told.
pub(crate) fn is_gone(lease: &str) -> bool {
    let Some((process, _)) = lease.rsplit_once(' ') else { return false };
    shown::is_gone(process) || held::is_gone(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_has_leases_of_its_own_and_is_not_gone() {
        let own = new_lease();
        assert!(!is_gone(&own));
        assert_ne!(own, new_lease());
    }

    #[test]
    fn what_cannot_be_seen_from_here_is_not_gone() {
        for lease in
            ["", "x", "elsewhere 0", "boot/pid:[1] 1 1 x", "a b c d e", "held: x", "held:../../etc/passwd x"]
        {
            assert!(!is_gone(lease), "{lease:?}");
        }
    }
}

//! Who holds a lease: a process, told apart from those that ran before it, and one of its leases.
//!
//! "A lease also needs a living owner": where the owner can be seen from here and is gone, nobody waits for the
//! lease to run out.

use uuid::Uuid;

/// A name for a new lease of this process.
pub(crate) fn new_lease() -> String {
    format!("{} {}", here().unwrap_or_else(|| "elsewhere".to_owned()), Uuid::new_v4())
}

/// Whether the process that took this lease is known to be gone. `false` where that cannot be told.
pub(crate) fn is_gone(lease: &str) -> bool {
    let Some((process, _)) = lease.rsplit_once(' ') else { return false };
    let mut parts = process.split(' ');
    let (Some(place), Some(pid), Some(born)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    // Another boot, machine or container: its processes cannot be seen from here.
    if this_place().as_deref() != Some(place) {
        return false;
    }
    let Ok(pid) = pid.parse::<u32>() else { return false };
    born_at(pid).is_none_or(|now| now != born)
}

/// Where it runs, its number and when it was born.
fn here() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{} {pid} {}", this_place()?, born_at(pid)?))
}

/// This boot and this space of process numbers.
fn this_place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), space.display()))
}

/// When a process was born, in ticks since the boot: numbers are used again, births are not. `None` when there is
/// no such process, or it has ended and only waits to be buried.
fn born_at(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; after it come the state and, 19 fields on, the birth.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_a_dead_one_is() {
        let own = new_lease();
        assert!(!is_gone(&own));
        assert_ne!(own, new_lease());
        if cfg!(target_os = "linux") {
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let born = born_at(child.id()).unwrap();
            let lease = format!("{} {} {born} {}", this_place().unwrap(), child.id(), Uuid::nil());
            assert!(!is_gone(&lease));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(is_gone(&lease));
        }
    }

    #[test]
    fn what_cannot_be_seen_from_here_is_not_gone() {
        for lease in ["", "x", "elsewhere 0", "boot/pid:[1] 1 1 x", "a b c d e"] {
            assert!(!is_gone(lease), "{lease:?}");
        }
    }
}

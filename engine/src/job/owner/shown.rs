//! Processes as `/proc` shows them.

/// Whether a process that is named as by [`here`] is known to be gone.
pub(super) fn is_gone(process: &str) -> bool {
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
pub(super) fn here() -> Option<String> {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_killed_is_gone() {
        assert!(!is_gone(&here().unwrap()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let born = born_at(child.id()).unwrap();
        let process = format!("{} {} {born}", this_place().unwrap(), child.id());
        assert!(!is_gone(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&process));
    }
}

//! "Whatever a remote side sends, nothing panics past its task, and time and memory stay inside stated
//! limits": a corpus of hostile changes, changes mutated here, and honest ones that have to get through.

mod documents;
mod fence;
mod mutated;
mod orders;
mod packs;
mod references;
#[path = "../../../../tests/src/harness/skipped.rs"]
mod skipped;
mod support;

use std::{collections::HashMap, time::Duration};

use rejoin::untrusted::{guarded, verify_snapshot};

use self::support::{Fate, Replica, corpus, state, stays_editable};

/// A change that names its dependencies in another order or is not canonical is still a change.
#[test]
fn a_mutated_but_good_change_is_not_refused() {
    for case in corpus("harmless") {
        let mut replica = Replica::of(&case.base);
        assert_eq!(replica.push(&case.bad), Fate::Applied, "{}", case.name);
        verify_snapshot(&replica.document, &replica.document.save())
            .unwrap_or_else(|difference| panic!("{}: {difference}", case.name));
        stays_editable(&mut replica.document);
    }
}

#[test]
fn a_change_that_makes_the_library_panic_leaves_the_document_as_it_was() {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for case in corpus("panics") {
        let mut replica = Replica::of(&case.base);
        let before = state(&replica.document);
        let actor = replica.document.get_actor().clone();
        let fate = replica.push(&case.bad);
        match &fate {
            Fate::Refused(refusal) => *counts.entry(format!("refused {}", refusal.code)).or_default() += 1,
            Fate::Quarantined(_) => *counts.entry("quarantined".to_owned()).or_default() += 1,
            other => panic!("{}: {other:?}", case.name),
        }
        assert_eq!(state(&replica.document), before, "{}", case.name);
        assert_eq!(*replica.document.get_actor(), actor, "{}", case.name);
        stays_editable(&mut replica.document);
    }
    eprintln!("panics: {counts:?}");
}

#[test]
fn a_poison_that_is_accepted_is_found_by_verification_and_its_raw_bytes_replay() {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for case in corpus("poison") {
        let mut replica = Replica::of(&case.base);
        let before = state(&replica.document);
        match replica.push(&case.bad) {
            Fate::Refused(refusal) => {
                *counts.entry(format!("refused {}", refusal.code)).or_default() += 1;
                assert_eq!(state(&replica.document), before);
            }
            Fate::Quarantined(_) => {
                *counts.entry("quarantined".to_owned()).or_default() += 1;
                assert_eq!(state(&replica.document), before);
            }
            Fate::Applied => {
                let saved = guarded(|| replica.document.save());
                let found = saved.and_then(|bytes| verify_snapshot(&replica.document, &bytes));
                let why = found.expect_err(&case.name);
                *counts.entry(format!("accepted, and found: {why}")).or_default() += 1;
                let replayed = Replica::of(&[case.base.clone(), case.bad.clone()].concat());
                assert_eq!(replayed.document.get_heads(), replica.document.get_heads(), "{}", case.name);
            }
            Fate::Duplicate => panic!("{}", case.name),
        }
    }
    eprintln!("poison: {counts:#?}");
}

/// "Refused in under 50 ms and 64 MiB."
#[test]
fn a_bomb_is_refused_in_fifty_milliseconds_and_little_memory() {
    for case in corpus("bombs") {
        let mut replica = Replica::default();
        let (fate, took) = crate::cpu::taken(|| replica.push(&case.bad));
        let Fate::Refused(refusal) = fate else { panic!("{} was taken", case.name) };
        let peak = peak_in_a_process_of_its_own(&case.bad);
        eprintln!("{}: {refusal} ({took:?}; the process peaks at {peak:?} KiB)", case.name);
        assert!(took < Duration::from_millis(50), "{} took {took:?}", case.name);
        assert!(peak.is_none_or(|peak| peak < 64 * 1024), "{}: {peak:?} KiB", case.name);
        assert!(refusal.hash.is_some());
    }
}

/// The most memory, in KiB, that a process takes to refuse this; `None` where the system does not say.
fn peak_in_a_process_of_its_own(bomb: &[u8]) -> Option<u64> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, bomb).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::in_a_process_of_its_own_a_bomb_is_refused", "--nocapture"])
        .env("REJOIN_TEST_BOMB", file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split("VmHWM:").nth(1))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The other half of the test above; without a bomb it does nothing.
#[test]
fn in_a_process_of_its_own_a_bomb_is_refused() {
    let Some(path) = std::env::var_os("REJOIN_TEST_BOMB") else { return };
    let fate = Replica::default().push(&std::fs::read(path).unwrap());
    assert!(matches!(fate, Fate::Refused(_)), "{fate:?}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{status}");
    }
}

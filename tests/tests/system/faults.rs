//! `tests/FAULTS.md` says which test proves what happens at each fault: here it is held to that.

use std::{collections::BTreeSet, path::Path};

/// The numbers of the faults.
const FAULTS: std::ops::RangeInclusive<u32> = 1..=46;

/// What a line names in backticks as a file and a test in it.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|word| word.split_once("::"))
        .filter(|(file, _)| Path::new(file).extension().is_some_and(|extension| extension == "rs"))
}

/// The number of a row of the table.
fn number(line: &str) -> Option<u32> {
    line.strip_prefix("| ")?.split(' ').next()?.parse().ok()
}

#[test]
fn each_test_that_faults_md_names_is_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("it lies in the repository");
    let text = std::fs::read_to_string(here.join("FAULTS.md")).unwrap();
    let rows: Vec<u32> = text.lines().filter_map(number).collect();
    assert_eq!(rows, FAULTS.collect::<Vec<_>>(), "each fault has one row, in order");
    let mut gone = BTreeSet::new();
    for line in text.lines() {
        let mut tests = named(line).peekable();
        let says_so = line.contains("**no test yet**") || line.contains("**not built yet**");
        assert!(number(line).is_none() || tests.peek().is_some() || says_so, "no test proves {line}");
        for (file, test) in tests {
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                gone.insert(format!("{file}::{test}"));
            }
        }
    }
    assert_eq!(gone, BTreeSet::new(), "FAULTS.md names what is not there");
}

//! The table of faults names tests: each of them is there.

/// Pairs of a file and a function, as `tests/FAULTS.md` writes them: `` `path/to/file.rs::name` ``.
fn named(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = table.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| {
        let (file, function) = text.split_once(".rs::")?;
        let file = text.get(..file.len() + 3)?;
        (!function.is_empty() && function.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .then_some((file, function))
    })
}

#[test]
fn every_test_that_the_table_of_faults_names_is_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let table = std::fs::read_to_string(format!("{root}/tests/FAULTS.md")).unwrap();
    let lacks = |(file, function): &(&str, &str)| {
        let source = std::fs::read_to_string(format!("{root}/{file}")).unwrap_or_default();
        !source.contains(&format!("fn {function}"))
    };
    let all: Vec<_> = named(&table).collect();
    assert!(all.len() > 100, "{} tests are named", all.len());
    let missing: Vec<_> = all.into_iter().filter(lacks).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

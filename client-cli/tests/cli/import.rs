//! What is taken in by `import` (issue 10, 10).

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::environment::{Environment, Person};

#[test]
fn a_mark_of_utf_8_before_json_is_skipped() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.run_with(&["import", "-", "--name", "d"], "\u{feff}{\"a\": 1}").expect(0);
    assert_eq!(ada.json(&["get", "d"]), json!({"a": 1}));
}

#[test]
fn a_bad_file_says_nothing_against_the_store() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["text", "d", "/t", "0", "0", "some text that is long enough to be a column of its own"]);
    ada.ok(&["export", "d", "good"]);
    let good = std::fs::read(env.path("good")).unwrap();
    let mut bad = vec![good[..good.len() / 2].to_vec(), b"\xff\xfe\x00".to_vec()];
    for at in (0..good.len()).step_by(5) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bad.push(bytes.clone());
        // With a checksum that fits again: four bytes, of all that comes after it.
        if at > 8 {
            let digest = Sha256::digest(&bytes[8..]);
            bytes[4..8].copy_from_slice(&digest[..4]);
            bad.push(bytes);
        }
    }
    for bytes in bad {
        std::fs::write(env.path("bad"), bytes).unwrap();
        let ran = ada.run(&["import", "bad"]);
        // What the library takes all the same is no bad file.
        if ran.code != 0 {
            let ran = ran.expect_error(1, "import");
            assert!(!ran.stderr.contains("the store is damaged"), "{ran:#?}");
            assert!(!ran.stderr.contains("doctor"), "{ran:#?}");
        }
    }
    assert_eq!(ada.json(&["doctor"])["ok"], true);
}

#[test]
fn a_wrong_value_is_not_repeated_whole() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let long = "x".repeat(20_000);
    let deep = format!("{}1{}", format!("{{\"{long}\":").repeat(125), "}".repeat(125));
    let short = |text: &str| assert!(text.len() < 1_000, "{} bytes: {}…", text.len(), &text[..300]);
    for file in [format!("{{\"a\": {long}}}"), format!("\"{long}\""), long.clone(), deep] {
        std::fs::write(env.path("bad.json"), file).unwrap();
        short(&ada.run(&["import", "bad.json"]).expect_error(1, "").stderr);
    }
    for words in
        [&["import", "f", "--id", &long][..], &["set", "d", "/a", &long], &["get", "d", &long], &[&long]]
    {
        short(&ada.run(words).expect(2).stderr);
    }
}

/// Imports a file, and gives the time on the processor that it took.
fn time_import(person: &Person<'_>, name: &str) -> Duration {
    let typed = person.command(&["import", name, "--name", name, "-q"]);
    let mut command = Command::new("bash");
    command.args(["-c", "TIMEFORMAT='%U %S'; time \"$0\" \"$@\" > /dev/null"]).arg(typed.get_program());
    command.args(typed.get_args()).current_dir(typed.get_current_dir().unwrap()).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("REJOIN_STORE", &person.store);
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    said.split_whitespace().map(|word| Duration::from_secs_f64(word.parse().unwrap())).sum()
}

/// 0.9, 2.2 and 6.1 seconds were 10, 20 and 40 thousand strings: four times as many took seven times as long. Time on the
/// processor is compared with time on the processor, of the same run.
#[test]
fn import_of_json_grows_as_its_file_does() {
    let env = Environment::new();
    let ada = env.person("ada");
    let took = |name: &str, strings: usize| {
        let string = |n| format!("string number {n} of them, {}", "x".repeat(20));
        let list: Vec<String> = (0..strings).map(string).collect();
        std::fs::write(env.path(name), json!({ "list": list }).to_string()).unwrap();
        time_import(&ada, name)
    };
    let (few, many) = (took("few", 10_000), took("many", 40_000));
    assert!(many < few * 6, "{few:?} for 10,000 strings, and {many:?} for 40,000");
    assert_eq!(ada.json(&["get", "many", "/list"]).as_array().unwrap().len(), 40_000);
}

#[test]
fn a_string_that_fits_no_change_is_refused_with_advice_that_can_be_followed() {
    let env = Environment::new();
    let ada = env.person("ada");
    let long = "x".repeat(1_200_000);
    let refused = ada.run_with(&["import", "-", "--name", "d"], &json!({"a": 1, "text": long}).to_string());
    let refused = refused.expect(1);
    assert!(refused.stderr.contains("rejoin append DOC POINTER @FILE"), "{}", refused.stderr);
    assert_eq!(ada.json(&["ls"]), json!([]));
    // As it says.
    ada.run_with(&["import", "-", "--name", "d"], &json!({"a": 1}).to_string()).expect(0);
    for part in long.as_bytes().chunks(100_000).take(2) {
        std::fs::write(env.path("part"), part).unwrap();
        ada.ok(&["append", "d", "/text", "@part"]);
    }
    assert_eq!(ada.json(&["get", "d", "/text"]), json!(long[..200_000]));
}

#[test]
fn a_file_that_becomes_many_changes_says_so() {
    let env = Environment::new();
    let ada = env.person("ada");
    let item = "y".repeat(2_000);
    let few = ada.run_with(&["import", "-"], &json!({"list": [item, item]}).to_string()).expect(0);
    assert!(!few.stderr.contains("undo"), "{few:#?}");
    let many = json!({"list": vec![item; 150]}).to_string();
    let many = ada.run_with(&["import", "-"], &many).expect(0);
    assert!(many.stderr.contains("became 151") && many.stderr.contains("rejoin undo"), "{many:#?}");
}

#[test]
fn utf_16_is_called_by_its_name() {
    let env = Environment::new();
    let ada = env.person("ada");
    let wide: Vec<u8> = "\u{feff}{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [wide.clone(), wide[2..].to_vec()] {
        std::fs::write(env.path("wide.json"), bytes).unwrap();
        let ran = ada.run(&["import", "wide.json"]).expect_error(1, "UTF-16");
        assert!(ran.stderr.contains("iconv"), "{ran:#?}");
    }
}

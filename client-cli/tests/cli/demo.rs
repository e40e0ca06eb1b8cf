use std::time::Instant;

use crate::environment::Environment;

#[test]
fn the_demo_ends_well_in_less_than_ten_seconds_and_leaves_nothing() {
    let env = Environment::new();
    let begun = Instant::now();
    let output = env.rejoin().env("TMPDIR", env.path("")).arg("demo").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    for said in
        ["splice /note at 12 -4 +\"ten\"", "exit code 3", "4 + 3 + 5 = 12", "both read now", "One truth"]
    {
        assert!(text.contains(said), "no {said:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains(" NO "), "{text}");
    assert_eq!(text.lines().filter(|l| l.chars().count() > 80).collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(std::fs::read_dir(env.path("")).unwrap().count(), 0);
}

#[test]
fn the_demo_is_not_led_astray_by_the_environment_and_tells_its_outcome_as_json() {
    let env = Environment::new();
    let mut command = env.rejoin();
    command.env("TMPDIR", env.path("")).env("REJOIN_STORE", env.path("mine.db"));
    command.env("REJOIN_SERVER", "http://127.0.0.1:9").env("REJOIN_TOKEN", "s3cret");
    let output = command.args(["demo", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["ok"], &value["state"]["snacks"]), (&true.into(), &12.into()));
    assert_eq!(value["queued_offline"], serde_json::json!({"ada": 4, "ben": 4}));
    assert!(!env.path("mine.db").exists());
}

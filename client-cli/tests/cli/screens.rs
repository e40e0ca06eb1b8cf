//! What people see on terminals of 100, 80, 60 and 40 columns (issue 10, 12): a real terminal, made by `script`.
#![cfg(target_os = "linux")]

use std::process::Stdio;

use rejoin_server::{Access, Tokens};

use crate::environment::{Environment, Person};
use crate::server::{Server, new_token};

const WIDTHS: [usize; 4] = [100, 80, 60, 40];
const ID: &str = "9c03443c-9e03-4aca-a131-0ac431257945";

/// What a command shows on a terminal of so many columns. Nobody answers, and nothing is coloured.
fn screen(person: &Person<'_>, width: usize, words: &str) -> String {
    let line = format!("stty cols {width} rows 50; exec {} {words}", env!("CARGO_BIN_EXE_rejoin"));
    let mut command = std::process::Command::new("script");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .env("REJOIN_PAGER", "cat")
        .env("TZ", "UTC")
        .env("HOME", "/nowhere");
    command.env("REJOIN_STORE", &person.store).args(["-qec", &line, "/dev/null"]);
    let ran = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap().replace("\r\n", "\n");
    // Where the store is differs from run to run.
    text.lines().filter(|l| !l.starts_with("store ")).map(masked).collect::<Vec<_>>().join("\n")
}

/// The line with hashes and times in their width, and no others' digits.
fn masked(line: &str) -> String {
    let mask = |word: &str| match word {
        w if matches!(w.len(), 8 | 12 | 32 | 64) && w.chars().all(|c| c.is_ascii_hexdigit()) => {
            "h".repeat(w.len())
        }
        w if matches!(w.len(), 17 | 20 | 24) && w.starts_with("20") && w.ends_with('Z') => {
            "t".repeat(w.len())
        }
        w if w.len() >= 5
            && w.contains([':', '-'])
            && w.chars().all(|c| c.is_ascii_digit() || "-:+Z".contains(c)) =>
        {
            w.replace(|c: char| c.is_ascii_digit(), "t")
        }
        w => w.to_owned(),
    };
    line.split(' ').map(mask).collect::<Vec<_>>().join(" ")
}

/// Nothing is wider than the terminal, and no id is a part of one that nobody could type.
fn check(text: &str, width: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= width, "{width}: {line:?} in\n{text}");
        for word in line.split_whitespace().filter(|w| w.starts_with(&ID[..6])) {
            assert!(word == ID || word == &ID[..8], "{word} in\n{text}");
        }
    }
}

fn snapshots(person: &Person<'_>, name: &str, words: &str) {
    for width in WIDTHS {
        let text = screen(person, width, words);
        check(&text, width);
        insta::assert_snapshot!(format!("{name}_{width}"), text);
    }
}

/// A person with what makes tables wide: a long name, a long action, a change of somebody else.
fn busy(env: &Environment) -> Person<'_> {
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--author", "Ada"]);
    ben.ok(&["init", "--author", "Benjamin of the long family name"]);
    ada.ok(&["new", "--id", ID, "--name", "a journey to the north with everybody"]);
    ada.ok(&["set", ID, "/title", "--string", "North"]);
    ada.ok(&["export", ID, "d.automerge"]);
    ben.ok(&["import", "d.automerge", "--id", ID]);
    ben.ok(&["set", ID, "/title", "--string", "To the lakes, and on to the mountains in the north of them"]);
    ada.ok(&["set", ID, "/title", "--string", "To the coast"]);
    ada.ok(&["insert", ID, "/list/-", "--string", "a tent for four people, and the poles that belong to it"]);
    ada
}

#[test]
fn lists_fit_terminals_of_100_to_40_columns() {
    let env = Environment::new();
    let ada = busy(&env);
    for (name, words) in [("ls", "ls"), ("queue", "queue"), ("status", "status")] {
        snapshots(&ada, name, words);
    }
}

#[test]
fn rejoin_alone_fits_terminals_of_100_to_40_columns() {
    let env = Environment::new();
    let ada = busy(&env);
    for width in WIDTHS {
        let text = screen(&ada, width, "");
        check(&text, width);
        assert!(text.contains("rejoin sync") && text.contains("queue"), "{width}:\n{text}");
    }
}

#[test]
fn histories_and_conflicts_fit_terminals_of_100_to_40_columns() {
    let env = Environment::new();
    let ada = busy(&env);
    let ben = env.person("ben");
    // Hers is the newer one, whatever the actors are called.
    ada.ok(&["set", ID, "/title", "--string", "To the coast, and then along it"]);
    let server = Server::start(env.path("server.db"));
    for person in [&ada, &ben, &ada] {
        person.ok(&["sync", "--server", &server.url()]);
    }
    ada.ok(&["text", ID, "/note", "0", "0", "Everybody meets at the station, under the clock"]);
    for (name, words) in [("log", "log"), ("conflicts", "conflicts"), ("blame", "blame")] {
        snapshots(&ada, name, &format!("{words} {ID}"));
    }
    for width in WIDTHS {
        for words in ["log", "conflicts", "log --utc"] {
            let text = screen(&ada, width, &format!("{words} {ID}"));
            check(&text, width);
            let says = |word: &str| assert!(text.contains(word), "{width}: {word} in\n{text}");
            says(if words != "conflicts" { "Ada" } else { "/title" });
            // A narrow line has room for the value that is chosen by, and not for the name behind it.
            says(if words == "conflicts" && width < 80 { "To the lakes" } else { "Benj" });
            assert!(text.contains("hhhhhhhhhhhh"), "{text}");
        }
    }
    assert!(screen(&ada, 40, &format!("conflicts {ID} /list")).contains("No writes met"));
}

/// The value with the higher counter wins on every device, so that the list is the same in every run.
#[test]
fn conflicts_fit_terminals_of_100_to_40_columns() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--author", "Ada"]);
    ben.ok(&["init", "--author", "Benjamin of the long family name"]);
    ada.ok(&["new", "--id", ID, "--name", "journey"]);
    ada.ok(&["set", ID, "/title", "--string", "North"]);
    ada.ok(&["export", ID, "d.automerge"]);
    ben.ok(&["import", "d.automerge", "--id", ID]);
    let server = Server::start(env.path("server.db"));
    ben.ok(&["set", ID, "/title", "--string", "South"]);
    ben.ok(&["set", ID, "/title", "--string", "To the lakes, and on to the mountains in the north of them"]);
    ada.ok(&["set", ID, "/title", "--string", "To the coast"]);
    for person in [&ben, &ada] {
        person.ok(&["sync", "--server", &server.url()]);
    }
    snapshots(&ada, "conflicts_utc", &format!("conflicts {ID} --utc"));
    ada.ok(&["set", ID, "/other", "1"]);
    snapshots(&ada, "conflicts_none", &format!("conflicts {ID} /other"));
}

#[test]
fn what_was_done_is_read_whole_at_80_columns() {
    let env = Environment::new();
    let ada = busy(&env);
    let log = screen(&ada, 80, &format!("log {ID}"));
    assert!(log.contains("insert /list/0 \"a tent for four people, and the poles that belong"), "{log}");
    assert!(log.contains("set /title \"To the coast\""), "{log}");
}

#[test]
fn long_values_are_shown_in_lines_of_the_terminals_width() {
    let env = Environment::new();
    let ada = busy(&env);
    let hash = |nth: usize| ada.json(&["log", ID])[nth]["hash"].as_str().unwrap().to_owned();
    let (last, first) = (hash(0), hash(2));
    for width in WIDTHS {
        for words in [
            format!("log {ID} -p"),
            format!("show {ID} {last}"),
            format!("diff {ID} {first}"),
            "queue show 2".to_owned(),
        ] {
            let text = screen(&ada, width, &words);
            // A whole hash or id never breaks.
            let whole = |line: &str| line.split_whitespace().any(|word| matches!(word.len(), 32 | 36 | 64));
            let wide = text.lines().find(|line| line.chars().count() > width && !whole(line));
            assert!(wide.is_none(), "{width}: {words}: {wide:?} in\n{text}");
            let all: String = text.split_whitespace().collect();
            assert!(words.starts_with("queue") || all.contains("thepolesthatbelongtoit"), "{text}");
        }
    }
}

#[test]
fn what_a_reader_may_not_push_fits_a_narrow_terminal() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    ada.ok(&["new", "--id", ID, "--name", "d"]);
    ada.ok(&["set", "d", "/begun", "1"]);
    ada.ok(&["sync", "--server", &server.url()]);
    ada.ok(&["set", "d", "/a", "1"]);
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let new = new_token("a", Access::Read);
    let token = tokens.create(&new).unwrap();
    ada.run(&["sync", "--server", &server.url(), "--token", token.reveal()]).expect(4);
    for width in WIDTHS {
        let text = screen(&ada, width, "status -q");
        check(&text, width);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("not allowed: this token may not write here"), "{text}");
    }
}

/// Issue 10, 11: local changes had milliseconds, and others' had none.
#[test]
fn one_change_has_one_time_everywhere_shown_where_the_person_is() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url()]);
    ada.ok(&["new", "--id", ID, "--name", "d"]);
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", ID, "--name", "d"]);
    ben.ok(&["sync", "--server", &server.url()]);
    let of = |person: &Person<'_>| person.json(&["log", "d"])[0]["made_at"].as_str().unwrap().to_owned();
    let made = of(&ada);
    assert!(made == of(&ben) && made.ends_with(".000Z"), "{made}");
    let shown = |words: &[&str]| {
        let ran = ada.command(words).env("TZ", "Asia/Kathmandu").output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let utc = made.replace(".000Z", "Z");
    assert!(shown(&["log", "d", "--utc"]).contains(&utc), "{}", shown(&["log", "d", "--utc"]));
    let there = shown(&["log", "d"]);
    assert!(there.contains(" +05:45  ") && !there.contains(&utc), "{there}");
    assert!(shown(&["log", "d", "--json"]).contains(&made));
}

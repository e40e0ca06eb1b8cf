//! The story itself, and what must hold at its end.

use serde_json::{Value, json};

use super::person::Person;
use super::server::Server;
use super::stage::Stage;
use crate::error::{CliError, Exit, Result};
use crate::format::count;

const ONLINE: &[&[&str]] = &[
    &["text", "trip", "/note", "0", "0", "We leave at nine and take the old path."],
    &["insert", "trip", "/bring/-", "--string", "tent"],
    &["insert", "trip", "/bring/-", "--string", "stove"],
    &["increment", "trip", "/snacks", "4"],
];

const ADA_OFFLINE: &[&[&str]] = &[
    &["text", "trip", "/note", "12", "4", "ten"],
    &["insert", "trip", "/bring/0", "--string", "map"],
    &["increment", "trip", "/snacks", "3"],
    &["set", "trip", "/people/ada", "--string", "by train"],
];

const BEN_OFFLINE: &[&[&str]] = &[
    &["text", "trip", "/note", "30", "3", "new"],
    &["insert", "trip", "/bring/-", "--string", "soup"],
    &["increment", "trip", "/snacks", "5"],
    &["set", "trip", "/people/ben", "--string", "by bike"],
];

/// What must be read in the end: every edit of both, once.
fn expected() -> Value {
    json!({
        "bring": ["map", "tent", "stove", "soup"],
        "note": "We leave at ten and take the new path.",
        "people": { "ada": "by train", "ben": "by bike" },
        "snacks": 4 + 3 + 5,
    })
}

/// The story, as it is told.
pub(super) struct Story<'s, 'o> {
    stage: &'s mut Stage<'o>,
    ada: &'s Person,
    ben: &'s Person,
}

/// What each of the two read at one moment.
struct Read {
    ada: Value,
    ben: Value,
}

/// What came out.
pub(super) struct Verdict {
    checks: Vec<(&'static str, bool, String)>,
    document: String,
    state: Value,
    queued_offline: [usize; 2],
}

impl Verdict {
    pub(super) fn holds(&self) -> bool {
        self.checks.iter().all(|(_, holds, _)| *holds)
    }

    pub(super) fn json(&self) -> Value {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|(name, holds, detail)| json!({ "check": name, "holds": holds, "detail": detail }))
            .collect();
        json!({
            "ok": self.holds(),
            "document": self.document,
            "state": self.state,
            "queued_offline": { "ada": self.queued_offline[0], "ben": self.queued_offline[1] },
            "checks": checks,
        })
    }
}

impl<'s, 'o> Story<'s, 'o> {
    pub(super) fn new(stage: &'s mut Stage<'o>, people: &'s [Person; 2]) -> Self {
        let [ada, ben] = people;
        Self { stage, ada, ben }
    }

    pub(super) async fn tell(mut self, server: Server) -> Result<Verdict> {
        let document = self.together(&server.url()).await?;
        let before = self.ada.json(&["get", "trip"]).await?;
        let stopped = server.stop().await?;
        self.apart().await?;
        let queued_offline = self.queues().await?;
        let offline = self.read().await?;
        let server = stopped.start().await?;
        self.rejoined(&server).await?;
        let mut verdict = self.judge(before, offline).await?;
        verdict.document = document;
        verdict.queued_offline = queued_offline;
        server.stop().await?;
        Ok(verdict)
    }

    async fn together(&mut self, url: &str) -> Result<String> {
        self.stage.chapter(1, "Together").await?;
        self.stage.say(&format!("A server listens on {url}; Ada and Ben have a store each."))?;
        for (person, author) in [(self.ada, "Ada"), (self.ben, "Ben")] {
            person.ok(&["init", "--server", url, "--author", author]).await?;
        }
        let new = ["new", "--name", "trip"];
        self.stage.typed(self.ada, &new).await?;
        let document = self.ada.ok(&new).await?.trim().to_owned();
        self.stage.edit(self.ada, ONLINE).await?;
        self.stage.show(self.ada, &["sync"]).await?;
        let share = self.stage.show(self.ada, &["share", "trip"]).await?;
        let join: Vec<_> = share.stdout.split_whitespace().skip(1).chain(["--name", "trip"]).collect();
        self.stage.edit(self.ben, &[&join]).await?;
        self.stage.show(self.ben, &["sync"]).await?;
        Ok(document)
    }

    async fn apart(&mut self) -> Result<()> {
        self.stage.chapter(2, "Apart").await?;
        self.stage.say("The server is shut down: nobody listens on its port any more.")?;
        for person in [self.ada, self.ben] {
            let ran = self.stage.show(person, &["sync", "--timeout", "1s"]).await?;
            if ran.exit != Exit::Unreachable {
                return Err(CliError::failed("a sync without a server did not say so", "please report it"));
            }
        }
        self.stage.pause(300).await?;
        self.stage.say("Both go on writing, in the same places:")?;
        for (ada, ben) in ADA_OFFLINE.iter().zip(BEN_OFFLINE) {
            self.stage.edit(self.ada, &[ada]).await?;
            self.stage.edit(self.ben, &[ben]).await?;
        }
        Ok(())
    }

    async fn queues(&mut self) -> Result<[usize; 2]> {
        self.stage.chapter(3, "What waits").await?;
        let mut queued = [0, 0];
        for (person, queued) in [self.ada, self.ben].into_iter().zip(&mut queued) {
            self.stage.show(person, &["queue"]).await?;
            *queued = length(&person.json(&["queue"]).await?);
            self.stage.pause(500).await?;
        }
        Ok(queued)
    }

    async fn rejoined(&mut self, server: &Server) -> Result<()> {
        self.stage.chapter(4, "Rejoined").await?;
        self.stage.say("The server is started again, with the same log and on the same port.")?;
        for person in [self.ada, self.ben, self.ada] {
            self.stage.show(person, &["sync"]).await?;
            self.stage.pause(200).await?;
        }
        let figures = server.figures();
        let edits = (ADA_OFFLINE.len() + BEN_OFFLINE.len()) as u64;
        let what = match figures.changes.checked_sub(edits) {
            Some(1) => format!("{edits} edits, and /people once,\nwhich both of them made"),
            _ => count(figures.changes, "change"),
        };
        let stored = format!("The server has stored {what}, in {} since.", count(figures.commits, "commit"));
        self.stage.say(&stored)
    }

    async fn read(&self) -> Result<Read> {
        Ok(Read { ada: self.ada.json(&["get", "trip"]).await?, ben: self.ben.json(&["get", "trip"]).await? })
    }

    async fn judge(&mut self, before: Value, offline: Read) -> Result<Verdict> {
        self.stage.chapter(5, "One truth").await?;
        let now = self.read().await?;
        let header = ["", "before", "Ada, offline", "Ben, offline", "both read now"];
        let rows = [("note", "/note"), ("bring", "/bring"), ("snacks", "/snacks"), ("people", "/people")]
            .map(|(name, path)| {
                let both = match now.ada.pointer(path) == now.ben.pointer(path) {
                    true => read(&now.ada, path),
                    false => format!("Ada: {}\nBen: {}", read(&now.ada, path), read(&now.ben, path)),
                };
                [
                    name.to_owned(),
                    read(&before, path),
                    read(&offline.ada, path),
                    read(&offline.ben, path),
                    both,
                ]
            });
        self.stage.merge(header, rows.into())?;
        self.stage.pause(700).await?;
        let checks = self.checks(&now).await?;
        for (name, holds, detail) in &checks {
            self.stage.check(name, *holds, detail)?;
            self.stage.pause(150).await?;
        }
        Ok(Verdict { checks, document: String::new(), state: now.ada, queued_offline: [0, 0] })
    }

    async fn checks(&self, now: &Read) -> Result<Vec<(&'static str, bool, String)>> {
        let mut heads = Vec::new();
        let mut logs = Vec::new();
        let mut queued = 0;
        for person in [self.ada, self.ben] {
            let documents = person.json(&["ls"]).await?;
            heads.push(documents.pointer("/0/heads").cloned().unwrap_or_default());
            logs.push(length(&person.json(&["log", "trip"]).await?));
            queued += length(&person.json(&["queue"]).await?);
        }
        let typed = ONLINE.len() + ADA_OFFLINE.len() + BEN_OFFLINE.len();
        let head = heads.iter().flat_map(|h| h.as_array()).flatten().filter_map(Value::as_str).next();
        let head: String = head.unwrap_or("none").chars().take(12).collect();
        let snacks = &expected()["snacks"];
        Ok(vec![
            ("equal heads", heads.windows(2).all(|w| w.first() == w.last()) && length_of(&heads) > 0, head),
            ("equal JSON", now.ada == now.ben, format!("{} bytes on both sides", now.ada.to_string().len())),
            (
                "every edit once",
                now.ada == expected() && logs.iter().all(|n| *n == typed),
                format!("{typed} typed, {} in each log", both(&logs)),
            ),
            (
                "the counter is exact",
                &now.ada["snacks"] == snacks,
                format!("4 + 3 + 5 = {}", now.ada["snacks"]),
            ),
            ("both queues empty", queued == 0, format!("{queued} waiting")),
        ])
    }
}

/// A figure of both, or of each where they differ.
fn both(of: &[usize]) -> String {
    match of {
        [ada, ben] if ada != ben => format!("{ada} and {ben}"),
        _ => of.first().map(ToString::to_string).unwrap_or_default(),
    }
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

fn length_of(heads: &[Value]) -> usize {
    heads.first().map_or(0, length)
}

/// What is at the path, as a person would write it down.
fn read(state: &Value, path: &str) -> String {
    match state.pointer(path) {
        None => "(nothing)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        Some(Value::Object(map)) => {
            map.iter().map(|(key, value)| format!("{key}: {}", word(value))).collect::<Vec<_>>().join("\n")
        }
        Some(other) => other.to_string(),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! What the dearest request of each kind costs within the limits: time, memory, and what others have to wait beside it.
//! It prints the table of OPERATIONS.md; `--nocapture` shows it.

use std::time::{Duration, Instant};

use crate::support::{Guarded, Writer, chain, noise, token};
use rejoin::{
    DocumentId,
    wire::{CHANGES, JSON},
};
use rejoin_server::Access;
use reqwest::{Client, Method, RequestBuilder};

/// How many attack at once.
const AT_ONCE: usize = 4;

struct Bench {
    house: Guarded,
    /// Who attacks: somebody new each time, who has asked for nothing yet.
    attacker: String,
    client: Client,
    small: DocumentId,
}

/// What was seen of a request.
struct Row {
    name: &'static str,
    status: u16,
    took: Duration,
    /// MiB beyond what the server had before, and of the processes that merge.
    memory: (usize, usize),
    before: Duration,
    meanwhile: Duration,
}

type Make = Box<dyn Fn(&Bench) -> RequestBuilder + Send + Sync>;

impl Bench {
    async fn start() -> Self {
        let house = Guarded::start(&[]);
        let attacker = house.admin.clone();
        let bench = Self { house, attacker, client: Client::new(), small: DocumentId::random() };
        bench.house.push(bench.small, Writer::new(1).many(5)).await;
        bench
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.house.server.root);
        self.client.request(method, url).bearer_auth(&self.attacker)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn push(&self, body: &[u8]) -> RequestBuilder {
        let path = format!("/v1/documents/{}/changes", DocumentId::random());
        self.request(Method::POST, &path).header("content-type", CHANGES).body(body.to_vec())
    }

    /// A small pull of another token.
    async fn other(&self) -> Duration {
        let url = self.house.url(self.small, "/changes?limit=5");
        let start = Instant::now();
        let answer = self.client.get(url).bearer_auth(&self.house.reader).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        start.elapsed()
    }

    async fn others(&self) -> Duration {
        let mut times = Vec::new();
        for _ in 0..25 {
            times.push(self.other().await);
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// The most memory, in MiB, of this process since it was last forgotten.
    fn peak(process: u32, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024)
    }

    /// The processes that merge for the server.
    fn processes(&self) -> Vec<u32> {
        let id = self.house.server.child.id();
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let children =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        let ids = children.map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect());
        ids.collect::<Vec<Vec<u32>>>().concat()
    }

    /// From here on the peaks are counted.
    fn forget_peaks(&self) {
        for process in [vec![self.house.server.child.id()], self.processes()].concat() {
            // One that has gone has none.
            let _ = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
    }

    /// One who asks without end.
    async fn ask_on(&self, make: &Make, stream: bool) {
        loop {
            if let Ok(answer) = make(self).send().await
                && !stream
            {
                let _ = answer.bytes().await;
            }
        }
    }

    async fn measure(&self, name: &'static str, make: Make) -> Row {
        let id = self.house.server.child.id();
        let before = self.others().await;
        self.forget_peaks();
        let idle = Self::peak(id, "VmRSS:");
        let start = Instant::now();
        let answer = make(self).send().await.unwrap();
        let (status, stream) = (answer.status().as_u16(), name.contains("stream"));
        if !stream {
            answer.bytes().await.unwrap();
        }
        let took = start.elapsed();
        let attacks = futures_util::future::join_all((0..AT_ONCE).map(|_| self.ask_on(&make, stream)));
        let meanwhile = tokio::select! {
            meanwhile = self.others() => meanwhile,
            _ = attacks => unreachable!("they have no end"),
        };
        let merging = self.processes().into_iter().map(|id| Self::peak(id, "VmHWM:")).max().unwrap_or(0);
        let merges = name.contains("merged") || name.contains("snapshot") || name.contains("file");
        let memory = (Self::peak(id, "VmHWM:").saturating_sub(idle), if merges { merging } else { 0 });
        Row { name, status, took, memory, before, meanwhile }
    }
}

impl Row {
    fn print(&self) {
        let Self { name, status, took, memory: (own, merging), before, meanwhile } = self;
        let merging =
            if *merging > 0 { format!(", {merging} MiB in a process that merges") } else { String::new() };
        let times = meanwhile.as_secs_f64() / before.as_secs_f64().max(0.000_1);
        println!("| {name} | {status} | {took:.0?} | {own} MiB{merging} | {times:.1} times |");
    }

    /// Generous: what is promised is that nobody waits for another's work, not how quick a machine is.
    fn check(&self) {
        let Self { name, memory, before, meanwhile, .. } = self;
        assert!(
            *meanwhile < *before * 100 + Duration::from_secs(2),
            "{name}: {before:?}, then {meanwhile:?}"
        );
        assert!(memory.0 < 192, "{name}: {} MiB", memory.0);
        assert_ne!(self.status, 429, "{name}: one request is never too many");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_request_of_each_kind_costs_what_is_told_and_holds_nobody_back() {
    let mut bench = Bench::start().await;
    let database = bench.house.directory.path().join("log.db");
    let attackers: Vec<String> =
        (0..15).map(|n| token(&database, &format!("attacker {n}"), None, Access::Admin)).collect();
    let many = Writer::new(2).many(100_000);
    let orphans = many[rejoin::fence::frame(&many).unwrap()[0].bytes.len()..].to_vec();
    let large = noise(15);
    let [typed, noisy, chained] = std::array::from_fn(|_| DocumentId::random());
    for (document, body) in [(typed, many.clone()), (noisy, large.clone()), (chained, chain(10_000))] {
        bench.house.push(document, body).await;
    }
    let lists: Vec<_> =
        (0..1_000).map(|n| bench.push(&Writer::new((n % 250) as u8).many(1)).send()).collect();
    futures_util::future::join_all(lists).await;
    let hashes: Vec<String> = (0..32_768).map(|n| format!("{n:064x}")).collect();
    let question = serde_json::json!({ "hashes": hashes }).to_string();
    let of = |document: DocumentId, rest: &str| format!("/v1/documents/{document}{rest}");
    let read = |path: String| -> Make { Box::new(move |bench: &Bench| bench.get(&path)) };
    let file = of(typed, "");
    let kinds: Vec<(&'static str, Make)> = vec![
        ("push of 100,000 changes (11 MiB)", Box::new(move |bench: &Bench| bench.push(&many))),
        ("push of 100,000 changes that are all refused", Box::new(move |bench: &Bench| bench.push(&orphans))),
        ("push of 15 MiB in large changes", Box::new(move |bench: &Bench| bench.push(&large))),
        ("pull of a page (4 MiB)", read(of(noisy, "/changes"))),
        ("snapshot (14 MiB)", read(of(noisy, "/snapshot"))),
        ("merged document of 100,000 changes", read(of(typed, ""))),
        ("the same as a file", Box::new(move |bench: &Bench| bench.get(&file).header("accept", CHANGES))),
        ("merged document of 10,000 actors in a chain", read(of(chained, ""))),
        (
            "missing, 32,768 hashes in a log of 100,000",
            Box::new(move |bench: &Bench| {
                let request = bench.request(Method::POST, &of(typed, "/missing"));
                request.header("content-type", JSON).body(question.clone())
            }),
        ),
        ("list of 1,000 documents", read("/v1/documents".to_owned())),
        ("event streams, opened and left", read("/v1/events".to_owned())),
        ("limits", read("/v1/limits".to_owned())),
        ("the description (openapi.json)", read("/openapi.json".to_owned())),
        (
            "deletion of a document",
            Box::new(move |bench: &Bench| bench.request(Method::DELETE, &of(DocumentId::random(), ""))),
        ),
        (
            "a token that is none",
            Box::new(move |bench: &Bench| {
                let url = format!("{}/v1/documents", bench.house.server.root);
                bench.client.get(url).bearer_auth("rjt_nobody")
            }),
        ),
    ];
    let mut rows = Vec::new();
    assert_eq!(kinds.len(), attackers.len());
    for ((name, make), attacker) in kinds.into_iter().zip(attackers) {
        bench.attacker = attacker;
        rows.push(bench.measure(name, make).await);
    }
    println!("| request | status | time | memory | others |\n|---|---|---|---|---|");
    rows.iter().for_each(Row::print);
    rows.iter().for_each(Row::check);
}

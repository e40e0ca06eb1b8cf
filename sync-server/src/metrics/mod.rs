//! What a server does and how it is: counted as it happens, told as Prometheus text.

mod clients;
mod text;

use std::{fmt, sync::atomic::Ordering, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use rejoin_protocol::fence::RefusalCode;
use rejoin_verifier::ProcessFailures;

use crate::{
    log::{Found, Quarantined},
    rules::Code,
};

pub(crate) use clients::{Clients, Lag};
pub(crate) use text::{Format, write};

/// A word that stays, of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Because {
    pub(crate) code: &'static str,
}

/// What was asked: a route is the pattern, never the path itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    client: String,
}

/// From a tenth of a millisecond to 26 s.
#[derive(Debug, Clone, Copy)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0001, 4.0, 10))
    }
}

/// What a change can be rejected for.
const REJECTIONS: [RefusalCode; 10] = [
    RefusalCode::Malformed,
    RefusalCode::Checksum,
    RefusalCode::NotAChange,
    RefusalCode::TooLarge,
    RefusalCode::TooManyOperations,
    RefusalCode::MissingDependency,
    RefusalCode::ActorFork,
    RefusalCode::OutOfRange,
    RefusalCode::TooManyHeads,
    RefusalCode::TooManyActors,
];

/// How a request can end that somebody is woken for, and as it should.
const STATUSES: [u16; 3] = [200, 500, 503];

/// How a look at a document can end.
const SOUND: &str = "sound";
const QUARANTINED: &str = "quarantined";
const UNSETTLED: &str = "unsettled";

/// Every figure of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) commits: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) pushes: Counter,
    pub(crate) pulls: Counter,
    pub(crate) changes: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) rejected: Family<Because, Counter>,
    pub(crate) refused: Family<Because, Counter>,
    requests: Family<Asked, Counter>,
    request_seconds: Family<Route, Histogram, Seconds>,
    verifications: Family<Ended, Counter>,
    process_failures: Family<Ended, Counter>,
    gauges: Gauges,
    pub(crate) clients: Clients,
}

/// What is looked up when somebody asks.
#[derive(Debug, Default)]
struct Gauges {
    waiting: Gauge,
    streams: Gauge,
    documents: Gauge,
    cache: Gauge,
    bodies: Gauge,
    replies: Gauge,
    database: Gauge,
    resident: Gauge,
    quarantined_changes: Gauge,
    quarantined_documents: Gauge,
    lag: Family<Name, Gauge>,
    seen: Family<Name, Gauge>,
}

/// How a server is just now.
#[derive(Debug, Default)]
pub(crate) struct Now {
    pub(crate) waiting: usize,
    pub(crate) streams: usize,
    pub(crate) documents: u64,
    pub(crate) cache_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) reply_bytes: usize,
    pub(crate) database_bytes: u64,
    pub(crate) quarantined: Quarantined,
    pub(crate) process_failures: ProcessFailures,
    pub(crate) clients: Vec<Lag>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// `resources`: the routes that are counted, with their methods.
    pub(crate) fn new(resources: &[(&str, &[&'static str])]) -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("rejoin"),
            commits: Counter::default(),
            commit_seconds: Seconds.new_metric(),
            pushes: Counter::default(),
            pulls: Counter::default(),
            changes: Counter::default(),
            duplicates: Counter::default(),
            rejected: Family::default(),
            refused: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Seconds),
            verifications: Family::default(),
            process_failures: Family::default(),
            gauges: Gauges::default(),
            clients: Clients::default(),
        };
        all.register();
        all.begin_from_nought(resources);
        all
    }

    /// A series that begins with its first event hides that event from `rate`.
    fn begin_from_nought(&self, resources: &[(&str, &[&'static str])]) {
        for code in REJECTIONS {
            drop(self.rejected.get_or_create(&Because { code: code.as_str() }));
        }
        for code in Code::ALL {
            drop(self.refused.get_or_create(&Because { code: code.word() }));
        }
        for (route, methods) in resources {
            for (method, status) in methods.iter().flat_map(|method| STATUSES.map(|status| (method, status)))
            {
                let asked = Asked { route: (*route).to_owned(), method, status };
                drop(self.requests.get_or_create(&asked));
            }
        }
        for end in [SOUND, QUARANTINED, UNSETTLED] {
            drop(self.verifications.get_or_create(&Ended { end }));
        }
        self.set_process_failures(ProcessFailures::default());
    }

    fn register(&mut self) {
        let (all, gauges) = (&mut self.registry, &self.gauges);
        all.register("pushes", "Pushes that were answered with success", self.pushes.clone());
        all.register(
            "pulls",
            "Pages of a log that were given out, in replies to pushes too",
            self.pulls.clone(),
        );
        all.register("changes", "Changes stored", self.changes.clone());
        all.register("duplicates", "Changes that were pushed and held already", self.duplicates.clone());
        all.register("rejected", "Changes that were pushed and not stored, by code", self.rejected.clone());
        all.register("refused", "Requests that were refused as a whole, by code", self.refused.clone());
        all.register("requests", "Requests answered, by route, method and status", self.requests.clone());
        let (seconds, took) = (Unit::Seconds, self.request_seconds.clone());
        all.register_with_unit("request", "From the head of a request to that of its reply", seconds, took);
        all.register("commits", "Transactions of the committer", self.commits.clone());
        let help = "From the begin of a transaction to its flush";
        all.register_with_unit("commit", help, Unit::Seconds, self.commit_seconds.clone());
        all.register("committer_waiting", "Writes that wait for the committer", gauges.waiting.clone());
        all.register("streams", "Event streams that are open", gauges.streams.clone());
        all.register(
            "documents",
            "Documents that ever began here, deleted ones too",
            gauges.documents.clone(),
        );
        let (bytes, cache) = (|| Unit::Bytes, gauges.cache.clone());
        all.register_with_unit("merge_cache", "Estimated memory of merged documents", bytes(), cache);
        let help = "Memory that request bodies hold";
        all.register_with_unit("body_memory", help, bytes(), gauges.bodies.clone());
        let help = "Memory that replies hold, until they are read";
        all.register_with_unit("reply_memory", help, bytes(), gauges.replies.clone());
        let help = "Size of the database, its write-ahead log included";
        all.register_with_unit("database", help, bytes(), gauges.database.clone());
        let help = "Memory of this process that is in RAM; 0 where the system does not tell";
        all.register_with_unit("resident", help, bytes(), gauges.resident.clone());
        let help = "Changes that verification left out of merged documents, with what depends on them";
        all.register("quarantined_changes", help, gauges.quarantined_changes.clone());
        let help = "Documents in which changes are quarantined";
        all.register("quarantined_documents", help, gauges.quarantined_documents.clone());
        let help = "Looks at a document behind the log, by their end: sound, quarantined (something is left out of it), \
                    unsettled (it is tried again)";
        all.register("verifications", help, self.verifications.clone());
        let help = "Processes that were to merge or verify and gave no answer, by their end";
        all.register("verify_process_failures", help, self.process_failures.clone());
        let help = "Changes that the last cursor of a client is behind, in the documents that it asked for";
        all.register("client_lag_changes", help, gauges.lag.clone());
        let help = "When a client last asked, in seconds since 1970";
        all.register("client_seen_timestamp", help, gauges.seen.clone());
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: &str, (method, status): (&'static str, u16), took: Duration) {
        self.requests.get_or_create(&Asked { route: route.to_owned(), method, status }).inc();
        self.request_seconds.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// A look at a document came to an end, or to none.
    pub(crate) fn verified(&self, found: &Found) {
        let end = match (found.verified, found.left_out.is_empty()) {
            (None, _) => UNSETTLED,
            (Some(_), true) => SOUND,
            (Some(_), false) => QUARANTINED,
        };
        self.verifications.get_or_create(&Ended { end }).inc();
    }

    fn set_process_failures(&self, failures: ProcessFailures) {
        let all = [
            ("died", failures.died),
            ("timed-out", failures.timed_out),
            ("not-started", failures.not_started),
        ];
        for (end, count) in all {
            // Counted elsewhere: it only grows there too.
            self.process_failures.get_or_create(&Ended { end }).inner().store(count, Ordering::Relaxed);
        }
    }

    fn set(&self, now: &Now) {
        let gauges = &self.gauges;
        let put = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        put(&gauges.waiting, now.waiting as u64);
        put(&gauges.streams, now.streams as u64);
        put(&gauges.documents, now.documents);
        put(&gauges.cache, now.cache_bytes as u64);
        put(&gauges.bodies, now.body_bytes as u64);
        put(&gauges.replies, now.reply_bytes as u64);
        put(&gauges.database, now.database_bytes);
        put(&gauges.resident, resident());
        put(&gauges.quarantined_changes, now.quarantined.changes);
        put(&gauges.quarantined_documents, now.quarantined.documents);
        self.set_process_failures(now.process_failures);
        gauges.lag.clear();
        gauges.seen.clear();
        for Lag { client, changes, seen } in &now.clients {
            let name = Name { client: client.clone() };
            put(&gauges.lag.get_or_create(&name), *changes);
            gauges.seen.get_or_create(&name).set(seen / 1_000);
        }
    }
}

/// Bytes of this process in RAM.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

//! One reader must not stop the server: others are answered as usual beside it, and memory stays in its rate_limits.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::support::{Answer, Guarded, Writer, chain, changes, get, noise, send, status};
use rejoin::{DocumentId, wire::JSON};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Not quick on a busy machine, and far from the half minute after which one is told to come later.
fn as_usual(under: Duration, before: Duration) {
    println!("others: {before:?} at most before, {under:?} at most meanwhile");
    assert!(under < before * 50 + Duration::from_secs(2), "{before:?} before, {under:?} meanwhile");
}

fn json_of_many_fields(count: usize) -> Vec<u8> {
    let mut body = br#"{"hashes":[]"#.to_vec();
    (0..count).for_each(|n| write!(body, ",\"{n:x}\":0").unwrap());
    body.push(b'}');
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_a_million_fields_or_hashes_stop_nobody_and_take_no_memory() {
    let house = Guarded::start(&[]);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    house.push(document, ada.many(1)).await;
    let before = house.others(document, &mut ada).await;
    let idle = house.server.peak_memory();
    let hashes = format!(r#"{{"hashes":["{}"]}}"#, vec!["ab".repeat(32); 400_000].join("\",\""));
    let nested = format!(r#"{{"hashes":[],"x":{}"#, "[".repeat(1 << 20));
    for (name, body) in [
        ("fields", json_of_many_fields(1_900_000)),
        ("hashes", hashes.into_bytes()),
        ("nesting", nested.into_bytes()),
        ("a long field", format!(r#"{{"hashes":[],"{}":1}}"#, "x".repeat(30 << 20)).into_bytes()),
    ] {
        let small = zstd::encode_all(body.as_slice(), 1).unwrap();
        let url = house.url(document, "/missing");
        let client = reqwest::Client::new();
        let ask = move |token: String| {
            let request = client.post(&url).header("content-type", JSON).header("content-encoding", "zstd");
            request.bearer_auth(token).body(small.clone()).send()
        };
        let attacks: Vec<_> = (0..8)
            .map(|_| {
                let (ask, token) = (ask.clone(), house.reader.clone());
                tokio::spawn(async move {
                    loop {
                        // A body that is too large as it travels is refused before all of it was sent.
                        if let Ok(answer) = ask(token.clone()).await {
                            assert!([413, 422, 429].contains(&answer.status().as_u16()), "{answer:?}");
                        }
                    }
                })
            })
            .collect();
        let under = house.others(document, &mut ada).await;
        for attack in attacks {
            attack.abort();
            assert!(attack.await.unwrap_err().is_cancelled());
        }
        let peak = house.server.peak_memory();
        println!("{name}: {} KiB more at the peak", (peak - idle) >> 10);
        as_usual(under, before);
        assert!(peak < idle + (48 << 20), "{name}: {idle} bytes before, {peak} at the peak");
    }
}

#[tokio::test]
async fn a_question_may_be_as_large_as_its_limits_and_no_larger() {
    let house = Guarded::start(&["--missing-hashes", "3", "--json-fields", "4", "--json-nesting", "3"]);
    let document = DocumentId::random();
    let ask = async |body: String| {
        let request = reqwest::Client::new().post(house.url(document, "/missing"));
        send(request.header("content-type", JSON).bearer_auth(&house.reader).body(body)).await
    };
    let limits: rejoin::wire::LimitsReply =
        send(get(format!("{}/v1/limits", house.server.root)).bearer_auth(&house.reader)).await.json();
    assert_eq!((limits.json_fields, limits.json_nesting, limits.json_bytes), (4, 3, 3 * 96 + 65_536));
    let padded = |length: u64| {
        let question = r#"{"hashes":[]}"#;
        format!("{question}{}", " ".repeat(usize::try_from(length).unwrap() - question.len()))
    };
    let refused = |answer: &Answer, (status, code): (u16, &str), limit: &str| {
        assert_eq!(answer.code(), (status, code.to_owned()));
        assert!(String::from_utf8_lossy(&answer.body).contains(limit), "{answer:?}");
    };
    assert_eq!(ask(padded(limits.json_bytes)).await.status, 200);
    let too_large = (413, "too-large");
    refused(&ask(padded(limits.json_bytes + 1)).await, too_large, "bytes");
    assert_eq!(ask(r#"{"hashes":[],"a":1,"b":{"c":[]}}"#.to_owned()).await.status, 200);
    refused(&ask(r#"{"hashes":[],"a":1,"b":{"c":[],"d":1}}"#.to_owned()).await, too_large, "json_fields");
    refused(&ask(r#"{"hashes":[],"a":[[[]]]}"#.to_owned()).await, (422, "malformed"), "json_nesting");
}

/// Requests whose replies are large: pages, now and then merged documents and snapshots.
fn large(number: usize) -> &'static str {
    match number % 20 {
        0 => "",
        1 => "/snapshot",
        _ => "/changes",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_slow_readers_stay_in_the_budget_stop_nobody_and_are_cut() {
    // One may have two pages: so little that it matters, and time enough for others to be seen beside.
    // How often one may ask is another matter.
    let house = Guarded::start(&["--reply-memory", "32MiB", "--body-timeout", "5s", "--request-rate", "0"]);
    let (noisy, document, mut ada) = (DocumentId::random(), DocumentId::random(), Writer::new(1));
    house.push(noisy, noise(5)).await;
    house.push(document, ada.many(1)).await;
    let page = send(get(house.url(noisy, "/changes")).bearer_auth(&house.admin)).await;
    assert!(page.body.len() > 3 << 20 && page.header("rejoin-more").is_some());
    let before = house.others(document, &mut ada).await;
    let idle = house.server.peak_memory();
    let mut slow = Vec::new();
    for number in 0..200 {
        let line = format!("GET /v1/documents/{noisy}{}", large(number));
        slow.push(house.ask(&line, &house.reader).await);
    }
    as_usual(house.others(document, &mut ada).await, before);
    // All have been answered: what found no room was told to come later.
    let mut answered = std::collections::BTreeMap::new();
    for stream in &mut slow {
        *answered.entry(status(stream).await).or_insert(0) += 1;
    }
    let peak = house.server.peak_memory();
    println!("{answered:?}, {} KiB more at the peak", (peak - idle) >> 10);
    // Merged document and snapshot are larger than what is given out here, and one has so many requests at once.
    let expected = [200, 404, 413, 429, 503];
    assert!(answered.contains_key(&503) && answered.keys().all(|code| expected.contains(code)));
    // The budget; and for a moment the two that are made without a share, and what makes them.
    assert!(peak < idle + (32 << 20) + (48 << 20), "{idle} bytes before, {peak} at the peak");
    as_usual(house.others(document, &mut ada).await, before);
    // Their connections end while nobody reads them, and what they held is free again.
    let start = Instant::now();
    loop {
        let again = send(get(house.url(noisy, "/changes")).bearer_auth(&house.reader)).await;
        if again.status == 200 {
            assert_eq!(changes(&again.body).len(), changes(&page.body).len());
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "they are never cut");
    }
    let mut rest = Vec::new();
    for stream in &mut slow {
        let _ = stream.read_to_end(&mut rest).await;
    }
}

/// A server of few connections and streams: what holds for few holds for many.
const FEW: [&str; 6] = ["--connections", "256", "--streams", "64", "--token-streams", "40"];

#[tokio::test(flavor = "multi_thread")]
async fn one_token_cannot_take_every_stream_nor_those_that_are_kept() {
    let house = Guarded::start(&FEW);
    let open = async |count: usize, who: &str| {
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = house.ask("GET /v1/events", who).await;
            streams.push((status(&mut stream).await, stream));
        }
        streams
    };
    let opened = |streams: &[(u16, TcpStream)]| streams.iter().filter(|(status, _)| *status == 200).count();
    let eves = open(64, &house.reader).await;
    assert_eq!(opened(&eves), 40, "its share");
    let adas = open(64, &house.writer).await;
    assert_eq!(opened(&adas), 64 - 40 - 8, "an eighth is kept");
    let roots = open(9, &house.admin).await;
    assert_eq!(opened(&roots), 8, "for who is admin of everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_slow_connections_and_streams_keep_nobody_out() {
    let house = Guarded::start(&FEW);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    house.push(document, ada.many(1)).await;
    let before = house.others(document, &mut ada).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = house.ask("GET /v1/events", &house.reader).await;
        assert_eq!(status(&mut stream).await, 200);
        held.push(stream);
    }
    let health = async || {
        let start = Instant::now();
        for path in ["/healthz", "/readyz"] {
            assert_eq!(send(get(format!("{}{path}", house.server.root))).await.status, 200);
        }
        start.elapsed()
    };
    let mut slowest = Duration::ZERO;
    // Many times as many as there may be: idle ones, and such as have begun a head.
    for number in 0..2_000 {
        let mut stream = TcpStream::connect(house.address()).await.unwrap();
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /v1/documents HTTP/1.1\r\nHo").await;
        }
        held.push(stream);
        if number % 200 == 199 {
            slowest = slowest.max(health().await);
        }
    }
    println!("health: {slowest:?} at most");
    assert!(slowest < before * 50 + Duration::from_secs(2), "{slowest:?}");
    as_usual(house.others(document, &mut ada).await, before);
    // The streams, whose token is good, are still there.
    house.push(document, ada.many(1)).await;
    for stream in &mut held[..40] {
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("event: changes") {
            let mut piece = [0; 1_024];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "a stream was ended");
            text.extend(&piece[..read]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_connections_work_who_asks_for_health_and_who_is_admin_get_in() {
    let house = Guarded::start(&["--connections", "128", "--streams", "500", "--token-streams", "500"]);
    let mut held = Vec::new();
    // Two are kept of 128.
    for _ in 0..126 {
        let mut stream = house.ask("GET /v1/events", &house.reader).await;
        assert_eq!(status(&mut stream).await, 200);
        held.push(stream);
    }
    for round in 0..5 {
        let mut refused = house.ask("GET /v1/documents", &house.writer).await;
        assert_eq!(status(&mut refused).await, 503, "{round}");
        let mut rest = String::new();
        refused.read_to_string(&mut rest).await.unwrap();
        assert!(rest.to_lowercase().contains("connection: close"), "{rest}");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(send(get(format!("{}{path}", house.server.root))).await.status, 200);
        }
        let metrics = get(format!("{}/metrics", house.server.root)).bearer_auth(&house.admin);
        assert_eq!(send(metrics).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_so_many_requests_at_once_and_others_their_own() {
    let house = Guarded::start(&["--token-requests", "5"]);
    let document = DocumentId::random();
    // Bodies that do not come.
    let line = format!("POST /v1/documents/{document}/missing");
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(house.address()).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: {JSON}\r\ncontent-length: 100\r\n\r\n",
            house.reader
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let list =
        async |who: &str| send(get(format!("{}/v1/documents", house.server.root)).bearer_auth(who)).await;
    let start = Instant::now();
    let refused = loop {
        let answer = list(&house.reader).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it is never refused");
    };
    assert_eq!(
        (refused.code(), refused.header("retry-after")),
        ((429, "rate-limited".to_owned()), Some("1"))
    );
    assert_eq!(list(&house.writer).await.status, 200);
    drop(held);
    while list(&house.reader).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "what ended is not given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_dear_things_is_slowed_and_others_are_not() {
    let house = Guarded::start(&["--request-rate", "1", "--request-burst", "300"]);
    let document = DocumentId::random();
    house.push(document, Writer::new(1).many(2)).await;
    let hashes = vec!["ab".repeat(32); 32_000];
    let body = serde_json::json!({ "hashes": hashes }).to_string();
    let ask = async |body: String| {
        let request = reqwest::Client::new().post(house.url(document, "/missing"));
        send(request.header("content-type", JSON).bearer_auth(&house.reader).body(body)).await
    };
    for _ in 0..100 {
        assert_eq!(ask(r#"{"hashes":[]}"#.to_owned()).await.status, 200, "what is small costs one request");
    }
    assert_eq!(ask(body.clone()).await.status, 200);
    let refused = ask(r#"{"hashes":[]}"#.to_owned()).await;
    assert_eq!(refused.code(), (429, "rate-limited".to_owned()));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((2..=61).contains(&seconds), "{seconds}");
    for _ in 0..100 {
        let list = get(format!("{}/v1/documents", house.server.root)).bearer_auth(&house.writer);
        assert_eq!(send(list).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_takes_long_to_merge_holds_back_no_other() {
    let house = Guarded::start(&["--verify-timeout", "100ms"]);
    let (dear, small) = (DocumentId::random(), DocumentId::random());
    house.push(dear, chain(12_000)).await;
    let mut ada = Writer::new(1);
    let asks = |number: usize| {
        let request = get(house.url(dear, ["", "/snapshot"][number % 2])).bearer_auth(&house.reader);
        tokio::spawn(async move {
            loop {
                let status = send(request.try_clone().unwrap()).await.status;
                assert!([200, 404, 429, 503].contains(&status), "{status}");
            }
        })
    };
    let attacks: Vec<_> = (0..16).map(asks).collect();
    let (start, mut slowest) = (Instant::now(), Duration::ZERO);
    for number in 0..10 {
        house.push(small, ada.many(1)).await;
        let asked = Instant::now();
        let merged = send(get(house.url(small, "")).bearer_auth(&house.writer)).await;
        slowest = slowest.max(asked.elapsed());
        assert_eq!(merged.status, 200, "{number}: {merged:?}");
    }
    println!("others' merges: {slowest:?} at most, {:?} all together", start.elapsed());
    // At most one of the dear ones is before each: not all that are asked for.
    assert!(slowest < Duration::from_secs(12), "{slowest:?}");
    for attack in attacks {
        attack.abort();
        assert!(attack.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn what_is_told_to_one_is_kept_by_nobody() {
    let house = Guarded::start(&[]);
    let document = DocumentId::random();
    house.push(document, Writer::new(1).many(2)).await;
    let of = |rest: &str| format!("/v1/documents/{document}{rest}");
    for path in [
        "/v1/limits".to_owned(),
        "/openapi.json".to_owned(),
        "/v1/documents".to_owned(),
        "/v1/events".to_owned(),
        "/metrics".to_owned(),
        "/v1/nothing".to_owned(),
        of(""),
        of("/changes"),
        of("/snapshot"),
        of("/missing"),
    ] {
        for who in [&house.admin, "rjt_nobody"] {
            let answer = send(get(format!("{}{path}", house.server.root)).bearer_auth(who)).await;
            assert!(answer.header("cache-control").unwrap_or_default().starts_with("no-store"), "{path}");
        }
    }
}

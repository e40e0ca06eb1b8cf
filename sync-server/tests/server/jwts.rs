//! JWTs at a server: what is taken, what ends, and that none is told.

use std::time::Duration;

use crate::support::{
    JWT_SECRET, Running, Writer,
    house::{House, get},
    jwt, send, take_jwts, token,
};
use rejoin::DocumentId;
use rejoin_server::Access;

#[tokio::test]
async fn a_server_with_a_jwt_key_is_guarded_and_takes_tokens_too() {
    let house = House::with_jwts().await;
    let limits = get("/v1/limits".to_owned());
    assert_eq!(
        house.ask(None, &limits).await.status,
        401,
        "no token was ever made, and none is needed for that"
    );
    let own = token(&house.database(), "own", None, Access::Read);
    let good = jwt("ada", &[(None, Access::Admin)], 60);
    for (bears, status) in
        [(&own, 200), (&good, 200), (&format!("{good}x"), 401), (&own.replace("rjt_", ""), 401)]
    {
        assert_eq!(house.ask(Some(bears), &limits).await.status, status);
    }
    let late = jwt("ada", &[(None, Access::Admin)], -60);
    assert_eq!(house.ask(Some(&late), &limits).await.code(), (401, "unauthorized".to_owned()));
    let many = vec![(Some(DocumentId::random()), Access::Write); 50];
    let long = jwt("ada", &many, 60);
    assert!(long.len() > 4_096 && rejoin::Token::new(&long).is_some(), "the client takes it");
    assert_eq!(house.ask(Some(&long), &limits).await.status, 200);
    assert_eq!(
        house.ask(Some(&jwt("ada", &vec![many[0]; 500], 60)), &limits).await.status,
        401,
        "it is too long"
    );
    // Where JWTs are not taken one is no token.
    let without = House::new().await;
    without.token("a", None, Access::Admin);
    assert_eq!(without.ask(Some(&good), &limits).await.status, 401);
}

#[tokio::test]
async fn a_jwt_that_ends_and_a_key_that_goes_lose_their_open_streams() {
    let server = Running::start_with(|config| {
        config.heartbeat = Duration::from_millis(50);
        take_jwts(config);
    });
    let house = House { server: server.await, client: reqwest::Client::new(), jwts: true };
    let listen = async |bears: String| {
        let url = format!("http://{}/v1/events", house.server.address);
        let stream = house.client.get(url).bearer_auth(bears).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let ends = async |mut stream: reqwest::Response| {
        let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(10), end).await.expect("it ends");
    };
    // Its time is over, and the leeway in four seconds.
    let brief = listen(jwt("ada", &[(None, Access::Read)], -26)).await;
    let long = listen(jwt("ada", &[(None, Access::Read)], 60)).await;
    ends(brief).await;
    assert_eq!(house.server.state.figures().streams, 1);
    let key = house.database().with_file_name("jwt.key");
    std::fs::write(key, "another secret, of at least 32 bytes").unwrap();
    ends(long).await;
}

#[tokio::test]
async fn a_jwt_stands_in_no_log_no_error_and_not_in_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (log, key) = (directory.path().join("server.log"), directory.path().join("key"));
    std::fs::write(&key, format!("{JWT_SECRET}\n")).unwrap();
    let mut command = std::process::Command::new(crate::support::BINARY);
    command.env("RUST_LOG", "trace").arg("--database").arg(directory.path().join("log.db"));
    command.arg("--jwt-key").arg(&key);
    let server = crate::support::Process::logging(command, std::fs::File::create(&log).unwrap().into());
    let good = jwt("ada", &[(None, Access::Create)], 60);
    let late = jwt("ada", &[(None, Access::Create)], -60);
    let broken = format!("{}.e30.{}", good.split('.').next().unwrap(), good.rsplit('.').next().unwrap());
    for (bears, status) in [(&good, 200), (&late, 401), (&broken, 401)] {
        let url = server.changes(DocumentId::random());
        let answer = send(crate::support::post(url, Writer::new(1).many(1)).bearer_auth(bears)).await;
        assert_eq!(answer.status, status);
        assert!(!String::from_utf8_lossy(&answer.body).contains(bears.as_str()));
    }
    server.signal("-TERM");
    let (code, _, _) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("its time is over") && said.contains("its signature is wrong"));
    let parts = [&good, &late, &broken].into_iter().flat_map(|bears| bears.split('.').skip(1));
    let parts: Vec<&str> = parts.filter(|part| part.len() > 10).chain([JWT_SECRET]).collect();
    assert!(parts.iter().all(|part| !said.contains(part)));
    let bytes = std::fs::read(directory.path().join("log.db")).unwrap();
    for part in parts {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()));
    }
}

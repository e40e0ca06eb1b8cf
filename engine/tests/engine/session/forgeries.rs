//! A server that forks what it acknowledged: it hands out other changes under the actors and numbers that people have,
//! and changes made on those.

use automerge::{
    Change,
    legacy::{Key, ObjectId, Op, OpType},
};
use rand::RngExt;

use super::*;
use rejoin::container;

fn parse(bytes: &[u8]) -> Change {
    Change::try_from(bytes).unwrap()
}

/// Something else under the actor and number of `like`, or under the number after it, made on `deps`.
fn forged(like: &Change, next: u64, deps: Vec<ChangeHash>, name: &str) -> Change {
    let mut change = like.decode();
    change.hash = None;
    change.seq += next;
    change.start_op = like.start_op().saturating_add(next * like.len().max(1) as u64);
    change.deps = deps;
    change.message = Some(json!({"a": "set", "by": "forger"}).to_string());
    change.operations = vec![
        Op {
            action: OpType::Put(name.into()),
            obj: ObjectId::Root,
            key: Key::Map(name.into()),
            pred: Vec::new().into(),
            insert: false,
        };
        like.len().max(1)
    ];
    for (nth, op) in change.operations.iter_mut().enumerate() {
        op.key = Key::Map(format!("{name} {nth}").into());
    }
    Change::from(change)
}

/// Honest people on such a document go on, and nothing of theirs is lost, doubled or left out.
#[test]
fn a_server_that_forks_what_it_acknowledged_loses_and_leaves_out_nothing_of_ones_own() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut client, mut log) = (Client::new(6), Log::new());
        assert_eq!(client.sync(&mut log), IN_STEP);
        let mut made = 6;
        for round in 0..5 {
            let at = rng.random_range(0..log.rows.len());
            let victim = parse(&log.rows[at].1);
            if container::is_container_actor(victim.actor_id()) {
                continue;
            }
            let fork = forged(&victim, 0, victim.deps().to_vec(), &format!("fork {round}"));
            let next = forged(&victim, 1, vec![fork.hash()], &format!("next {round}"));
            if rng.random_ratio(1, 3) {
                // And with it all that was made on it.
                log.rows.truncate(at);
                log.epoch += 1;
            }
            for change in [fork, next] {
                log.rows.push((change.hash(), change.raw_bytes().to_vec()));
            }
            if rng.random() {
                client.edit(1);
                made += 1;
            }
            client.sync(&mut log);
            if rng.random() {
                client.restart();
            }
            assert_eq!(client.count(), made, "seed {seed}, round {round}");
            let entries = client.core.history(client.id, None).unwrap();
            let lost = entries
                .iter()
                .find(|entry| entry.local && entry.replaced_by.is_none() && entry.quarantined.is_some());
            assert!(lost.is_none(), "seed {seed}, round {round}: {lost:?}");
        }
        let rows = client.core.history(client.id, None).unwrap().len();
        assert!(rows < 200, "seed {seed}: {rows} rows");
        // An honest server gets all of it.
        let mut honest = Log { epoch: 99, ..Log::new() };
        client.restart();
        let end = client.sync(&mut honest);
        assert_eq!(end, IN_STEP, "seed {seed}: {:?}", client.session.trouble());
        let mut joiner = Client::joined(client.id);
        assert_eq!(joiner.sync(&mut honest), IN_STEP, "seed {seed}");
        let state = client.core.state(client.id, "", None).unwrap();
        assert_eq!(joiner.core.state(client.id, "", None).unwrap(), state, "seed {seed}");
        assert_eq!((client.count(), joiner.count(), client.queue().len()), (made, made, 0), "seed {seed}");
    }
}

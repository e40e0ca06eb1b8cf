//! Servers that were wiped or put back, and documents that were deleted.

use super::*;

#[test]
fn a_wiped_server_is_given_everything_back() {
    let (mut client, mut log) = (Client::new(40), Log::new());
    client.sync(&mut log);
    client.edit(2);
    log = Log { epoch: 2, ..Log::new() };
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    let mut fresh = Client::joined(client.id);
    assert_eq!(fresh.sync(&mut log), IN_STEP);
    assert_eq!(fresh.count(), 42);
}

#[test]
fn a_server_restored_from_an_old_copy_and_written_to_since_heals() {
    let (mut one, mut log) = (Client::new(10), Log::new());
    one.sync(&mut log);
    let old = log.clone();
    let mut two = Client::joined(one.id);
    two.sync(&mut log);
    one.edit(5);
    one.sync(&mut log);
    log = Log { epoch: 2, ..old };
    two.edit(3);
    assert_eq!(two.sync(&mut log), IN_STEP);
    one.edit(1);
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!((one.count(), two.count()), (19, 19));
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn healing_survives_a_restart_at_every_request() {
    for stop_after in 0..8 {
        let (mut client, mut log) = (Client::new(40), Log::new());
        client.sync(&mut log);
        client.edit(2);
        log = Log { epoch: 2, ..Log::new() };
        let mut left = stop_after;
        loop {
            match client.step() {
                Step::Done(_) => break,
                Step::Wait { until } => client.now = until,
                Step::Send { request, ticket } => {
                    let reply = log.answer(&request);
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    client.take(ticket, Ok(reply));
                }
            }
        }
        client.restart();
        assert_eq!(client.sync(&mut log), IN_STEP, "stopped after {stop_after}");
        assert!(client.queue().is_empty());
        assert_eq!(client.count(), 42);
        let mut fresh = Client::joined(client.id);
        fresh.sync(&mut log);
        assert_eq!(fresh.count(), 42);
    }
}

#[test]
fn a_deletion_is_told_and_a_deleted_document_stays_deleted() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let mut two = Client::joined(one.id);
    two.sync(&mut log);
    one.core.delete(one.id).unwrap();
    assert_eq!(one.sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted);
    two.edit(1);
    assert_eq!(two.sync(&mut log), End::Done(Outcome::Deleted));
    // The server is restored to before the deletion.
    log.deleted = false;
    assert_eq!(two.sync(&mut log), IN_STEP, "who heard of it once believes the server, which has it");
    assert_eq!(one.sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted, "who deleted it is sure, and sends it again");
    assert_eq!(two.sync(&mut log), End::Done(Outcome::Deleted));
}

//! Tens of thousands of actors in one document, from a server that lies or a log of an older release: a client reads
//! them page by page in about the time that it takes to read them at once.

use std::time::{Duration, Instant};

use automerge::{ActorId, Automerge, Change, ExpandedChange, ScalarValue, legacy};
use rejoin::{
    Action, DocumentId,
    fence::{CheckedChange, Limits, check_bytes},
    store::{Core, Durability, Page},
    untrusted::apply_in_place,
    verify::VerifyCommand,
};
use rejoin_tests::harness::Place;

/// Each page is read anew with all before it, in two processes, and at the end saved, loaded and compared: some 9
/// times. While the process ran out of memory and the cause was sought, it did not end in 7 minutes.
const RATIO: u32 = 30;
/// What a server puts on a page.
const PAGE: usize = 15_000;
/// How many actors there are.
const CROWD: u32 = 45_000;

/// The first change of an actor, which sets a key.
fn stranger(nth: u32) -> Change {
    let hash = u64::from(nth).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    let put = legacy::Op {
        action: legacy::OpType::Put(ScalarValue::Uint(u64::from(nth))),
        obj: legacy::ObjectId::Root,
        key: legacy::Key::Map("stranger".into()),
        pred: Vec::new().into(),
        insert: false,
    };
    Change::from(ExpandedChange {
        operations: vec![put],
        actor_id: ActorId::from([&hash[..], &hash[..]].concat()),
        hash: None,
        seq: 1,
        start_op: 1.try_into().unwrap(),
        time: 0,
        message: None,
        deps: Vec::new(),
        extra_bytes: Vec::new(),
        author: None,
    })
}

fn checked(change: &Change) -> CheckedChange {
    check_bytes(change.raw_bytes(), &Limits::default()).unwrap()
}

fn core_at(place: &Place) -> Core {
    let command = VerifyCommand::new(env!("CARGO_BIN_EXE_verifier"), Vec::<String>::new());
    Core::open_verified(&place.path("a.db"), Durability::default(), command).unwrap()
}

/// Takes them page by page. How many are left out, and how long it took.
fn read_in_pages(strangers: &[Change]) -> (u64, Duration) {
    let place = Place::new();
    let mut core = core_at(&place);
    let id = DocumentId::random();
    core.join(id, None, None).unwrap();
    let (began, mut left_out) = (Instant::now(), 0);
    let pages: Vec<_> = strangers.chunks(PAGE).collect();
    for (nth, page) in pages.iter().enumerate() {
        let changes = page.iter().map(checked).collect();
        let at_end = nth + 1 == pages.len();
        let one = Instant::now();
        let outcome = core.store_page(id, Page { changes, at_end, ..Page::default() }).unwrap();
        println!("page {nth}: {:?} {}", one.elapsed(), outcome.quarantined);
        left_out += outcome.quarantined;
    }
    (left_out, began.elapsed())
}

#[test]
fn a_crowd_of_actors_is_read_page_by_page_in_a_small_multiple_of_the_time_for_all_at_once() {
    let strangers: Vec<Change> = (0..CROWD).map(stranger).collect();
    let began = Instant::now();
    apply_in_place(&mut Automerge::new(), strangers.clone()).unwrap();
    let floor = began.elapsed();
    let (left_out, took) = read_in_pages(&strangers);
    println!("at once {floor:?}, in pages {took:?}");
    assert_eq!(left_out, 0);
    assert!(took < floor * RATIO, "at once {floor:?}, in pages {took:?}");
}

/// As many as one member brings to a document. For each of them the library moves all that it holds of the others.
const OF_ONE_MEMBER: u32 = 2_048;

/// Before a document was read anew with them, the page took 14 times as long as reading the document, and so did each
/// start of a program afterwards.
#[test]
fn the_crowd_of_one_member_on_a_long_text_costs_little_more_than_the_text() {
    let place = Place::new();
    let mut core = core_at(&place);
    let id = core.create(None, None).unwrap();
    let key = |nth| Action::Splice { path: "/text".into(), pos: 0, delete: 0, insert: format!("{nth:05}") };
    let keys: Vec<_> = (0..50_000).map(|nth| (id, key(nth))).collect();
    for some in keys.chunks(1_000) {
        assert!(core.dispatch(some).unwrap().iter().all(Result::is_ok));
    }
    let read = |core: &mut Core| {
        let began = Instant::now();
        assert_eq!(core.state(id, "/text", None).unwrap().as_str().unwrap().len(), 250_000);
        began.elapsed()
    };
    drop(core);
    let mut core = core_at(&place);
    let floor = read(&mut core);
    let crowd = (0..OF_ONE_MEMBER).map(|nth| checked(&stranger(nth))).collect();
    let began = Instant::now();
    assert_eq!(core.store_page(id, Page { changes: crowd, ..Page::default() }).unwrap().quarantined, 0);
    let took = began.elapsed();
    drop(core);
    let again = read(&mut core_at(&place));
    println!("the text {floor:?}, the crowd {took:?}, both {again:?}");
    assert!(took < floor * 8 && again < floor * 4, "the text {floor:?}, the crowd {took:?}, both {again:?}");
}

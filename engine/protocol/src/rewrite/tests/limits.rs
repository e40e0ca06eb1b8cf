//! What is left as it is, and what cannot be written again.

use super::*;

#[test]
fn what_does_not_touch_the_dropped_goes_on_without_it() {
    let mut doc = base();
    let dropped = put(&mut doc, "x", 1);
    put(&mut doc, "y", 2);
    let touches = put(&mut doc, "x", 3);
    put(&mut doc, "z", 4);
    let (affected, others) = split(&doc.get_changes(&[]), &[dropped.hash()].into());
    let result = without(&affected, &dropped.hash()).unwrap();
    assert_eq!(result.also, [touches.hash()]);
    let mut all = others;
    let rest = changes(&result.rewritten);
    assert_eq!(rest.iter().map(Change::seq).collect::<Vec<_>>(), [1, 2]);
    all.extend(rest);
    let now = json_of(&build(&all));
    assert_eq!((now.get("x"), &now["y"], &now["z"]), (None, &json!(2), &json!(4)));
    assert_eq!(without(&affected[1..], &dropped.hash()), Err(RewriteError::NotThere(dropped.hash())));
}

#[test]
fn a_container_change_is_never_written_again() {
    let spec =
        crate::container::ContainerSpec::new(vec!["a".into()], crate::container::ContainerKind::Map, vec![0]);
    let change = Change::try_from(&crate::container::make(&spec.unwrap()).bytes[..]).unwrap();
    let hash = change.hash();
    assert_eq!(rewrite(&[change], &[hash].into()), Err(RewriteError::Container(hash)));
}

#[test]
fn hostile_numbers_do_not_panic() {
    let mut change = put(&mut base(), "x", 1).decode();
    change.start_op = std::num::NonZeroU64::MAX;
    change.seq = u64::MAX;
    let change = Change::from(change);
    let hash = change.hash();
    assert_eq!(rewrite(std::slice::from_ref(&change), &[hash].into()).unwrap().len(), 1);
    assert_eq!(without(&[change], &hash).unwrap().also, []);
}

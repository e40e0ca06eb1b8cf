//! A claim is proved or ignored.

use super::{properties::*, *};
use crate::rewrite::claim::Claim;
use automerge::legacy::{Key, ObjectId};

/// Which of these, dependencies first, are proved to be a change written again.
fn proved(changes: &[Change]) -> HashMap<ChangeHash, Claim> {
    let mut proved: HashMap<ChangeHash, Claim> = HashMap::new();
    for change in changes {
        let Some(claim) = Claim::of(change) else { continue };
        let kin = |hash: &ChangeHash| Ok::<_, ()>(proved.get(hash).cloned());
        if claim.holds(change, kin).unwrap() {
            proved.insert(change.hash(), claim);
        }
    }
    proved
}

/// A change as a liar sends it: the same claim, with something else in it.
fn forge(change: &Change, lie: impl FnOnce(&mut automerge::ExpandedChange)) -> Change {
    let mut expanded = change.decode();
    expanded.hash = None;
    lie(&mut expanded);
    Change::from(expanded)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever gets what was written again proves all of it without the originals, and can make these again.
    #[test]
    fn what_was_written_again_is_proved_without_the_original(script in scripts()) {
        let fork = fork(&script, Mode::Anything);
        let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let rewritten = changes(&rewrite(&affected, &fork.losers).unwrap());
        let proved = proved(&rewritten);
        let originals: HashMap<ChangeHash, &Change> = affected.iter().map(|c| (c.hash(), c)).collect();
        for change in &rewritten {
            let claim = proved.get(&change.hash());
            prop_assert!(claim.is_some(), "not proved: {:?}", change.message());
            let original = originals[&claim.unwrap().was()];
            let made_again = Claim::original(change).unwrap();
            prop_assert_eq!(made_again.raw_bytes(), original.raw_bytes());
        }
    }

    /// A liar who alters anything of a change that was written again proves nothing. (Its number alone is the fence's:
    /// there is no gap.)
    #[test]
    fn an_altered_change_proves_nothing(script in scripts(), at in any::<prop::sample::Index>(), how in 0..7_u8) {
        let fork = fork(&script, Mode::Anything);
        let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let mut rewritten = changes(&rewrite(&affected, &fork.losers).unwrap());
        if rewritten.is_empty() { return Ok(()) }
        let at = at.index(rewritten.len());
        let before = rewritten[at].clone();
        let forged = forge(&before, |change| match how {
            0 => change.time += 1,
            1 => change.start_op = change.start_op.saturating_add(1),
            2 => change.deps = Vec::new(),
            3 => change.actor_id = ActorId::from(b"somebody else".to_vec()),
            4 => change.operations.reverse(),
            5 => change.operations.iter_mut().for_each(|op| op.key = Key::Map("stolen".into())),
            _ => change.operations.iter_mut().for_each(|op| op.obj = ObjectId::Root),
        });
        if forged.hash() == before.hash() { return Ok(()) }
        rewritten[at] = forged.clone();
        prop_assert!(!proved(&rewritten).contains_key(&forged.hash()));
    }
}

/// The attack of the notes: a small change names the hash of another.
#[test]
fn a_bare_was_proves_nothing() {
    let mut doc = base();
    let victim = put(&mut doc, "salary", 1000);
    for message in [
        format!(r#"{{"was":"{}"}}"#, victim.hash()),
        format!(r#"{{"was":"{}","of":{{}}}}"#, victim.hash()),
        format!(r#"{{"was":"{}","of":{{"s":1,"d":[],"l":[]}}}}"#, victim.hash()),
        format!(r#"{{"was":"{}","of":{{"s":18446744073709551615,"d":[1],"l":[[]]}}}}"#, victim.hash()),
    ] {
        assert!(Claim::of(&forge(&victim, |change| change.message = Some(message))).is_none());
    }
}

/// Two branches of one actor lost. Who takes the names of the one for those of the other has the right original
/// and another meaning.
#[test]
fn names_of_another_losing_branch_prove_nothing() {
    let base = base();
    let (mut one, mut two) = (copy(&base, A), copy(&base, A));
    let (in_one, in_two) = (put(&mut one, "x", 1), put(&mut two, "x", 2));
    let after = put(&mut one, "x", 3);
    let losers: HashSet<ChangeHash> = [in_one.hash(), in_two.hash()].into();
    let rewritten = changes(&rewrite(&[in_one, in_two.clone(), after.clone()], &losers).unwrap());
    let honest = rewritten.iter().find(|c| Claim::of(c).unwrap().was() == after.hash()).unwrap();
    assert!(proved(&rewritten).contains_key(&honest.hash()));
    let other = rewritten.iter().find(|c| Claim::of(c).unwrap().was() == in_two.hash()).unwrap();
    let own = honest.actor_id().clone();
    // It writes over the value of the other branch, and says that this branch is the one.
    let lie = forge(honest, |change| {
        change.operations.iter_mut().for_each(|op| {
            op.pred = op
                .pred
                .iter()
                .map(|id| automerge::legacy::OpId(id.counter(), other.actor_id().clone()))
                .collect();
        });
        let message = change.message.take().unwrap();
        let line = format!(r#"["{}","#, own.to_hex_string());
        let also = format!(
            r#"["{}","{}",1,99],{line}"#,
            other.actor_id().to_hex_string(),
            ActorId::from(A.to_vec()).to_hex_string()
        );
        change.message = Some(message.replacen(&line, &also, 1));
    });
    assert!(Claim::of(&lie).is_some(), "the original comes out of it");
    let all: Vec<Change> =
        rewritten.iter().filter(|c| c.hash() != honest.hash()).cloned().chain([lie.clone()]).collect();
    assert!(!proved(&all).contains_key(&lie.hash()));
}

/// What was dropped from under a change makes another one of it.
#[test]
fn what_stays_after_a_drop_claims_nothing() {
    let mut doc = base();
    let (dropped, stays) = (put(&mut doc, "x", 1), put(&mut doc, "y", 2));
    let result = without(&[dropped.clone(), stays], &dropped.hash()).unwrap();
    assert!(Claim::of(&changes(&result.rewritten)[0]).is_none());
}

/// Claims lead to what somebody made, and to no other claim.
#[test]
fn a_claim_on_a_claim_is_none() {
    let mut doc = base();
    let made = put(&mut doc, "x", 1);
    let losers = |change: &Change| [change.hash()].into();
    let once = changes(&rewrite(std::slice::from_ref(&made), &losers(&made)).unwrap()).remove(0);
    assert_eq!(Claim::of(&once).unwrap().was(), made.hash());
    let twice = changes(&rewrite(std::slice::from_ref(&once), &losers(&once)).unwrap()).remove(0);
    assert_eq!(Claim::of(&twice), None);
}

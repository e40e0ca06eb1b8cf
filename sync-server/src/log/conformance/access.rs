//! Tokens and grants.

use super::*;

fn token(log: &mut impl Log, name: &str, access: Access, ends: Option<i64>) -> TokenId {
    let hash: [u8; 32] = std::array::from_fn(|at| name.as_bytes().get(at).copied().unwrap_or(0));
    let row = NewTokenRow { name, hash: &hash, document: None, access, ends };
    write!(log, |edit| edit.put_token(&row, NOW).unwrap())
}

/// A token is found by its hash, its name or its id, and is good until it ends or is revoked.
pub(super) fn tokens<L: Log>(mut log: L) {
    assert!(!look!(log, |view| view.has_tokens().unwrap()));
    let ada = token(&mut log, "ada", Access::Write, Some(NOW + 100));
    let mut hash = [0; 32];
    hash[..3].copy_from_slice(b"ada");
    let find = |log: &L, key: TokenKey<'_>| look!(log, |view| view.token(key).unwrap());
    for key in [TokenKey::Id(ada), TokenKey::Hash(&hash), TokenKey::Name("ada"), TokenKey::Any] {
        let row = find(&log, key).unwrap();
        assert_eq!((row.id, row.name.as_str(), row.access, row.document), (ada, "ada", Access::Write, None));
        assert!(row.is_good(NOW + 99) && !row.is_good(NOW + 100));
    }
    assert_eq!(find(&log, TokenKey::Name("bob")), None);
    assert_eq!(find(&log, TokenKey::Hash(&[1; 32])), None);
    write!(log, |edit| edit.change_token(ada, TokenChange::Ends(NOW + 500)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW + 100), "an end only comes nearer");
    write!(log, |edit| edit.change_token(ada, TokenChange::Ends(NOW + 50)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW + 50));
    write!(log, |edit| edit.change_token(ada, TokenChange::Revoked(NOW)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW));
    assert_eq!(find(&log, TokenKey::Name("ada")), None, "its name is free");
    let new = write!(log, |edit| {
        let row =
            NewTokenRow { name: "ada", hash: &[2; 32], document: None, access: Access::Read, ends: None };
        edit.put_token(&row, NOW).unwrap()
    });
    assert_eq!(find(&log, TokenKey::Name("ada")).map(|row| row.id), Some(new));
    assert!(look!(log, |view| view.has_tokens().unwrap()));
    let shown = look!(log, |view| view.tokens(NOW + 60).unwrap());
    let shown: Vec<_> = shown.iter().map(|t| (t.name.as_str(), t.revoked_at.is_some(), t.expired)).collect();
    assert_eq!(shown, [("ada", true, true), ("ada", false, false)]);
}

/// What is granted is granted there alone, and lists show it.
pub(super) fn grants<L: Log>(mut log: L) {
    let (one, _) = with_changes(&mut log, 1);
    let (two, _) = with_changes(&mut log, 1);
    let (three, _) = with_changes(&mut log, 1);
    let unowned = |log: &L| look!(log, |view| view.unowned(2).unwrap());
    assert_eq!(unowned(&log), (3, vec![one, two]));
    let ada = token(&mut log, "ada", Access::Create, None);
    let bob = token(&mut log, "bob", Access::Create, None);
    grants_of(&mut log, (ada, bob), [one, two, three]);
}

fn grants_of(log: &mut impl Log, (ada, bob): (TokenId, TokenId), [one, two, three]: [DocumentId; 3]) {
    write!(log, |edit| edit.grant(&Grant::One(ada, &one, Access::Read)).unwrap());
    write!(log, |edit| edit.grant(&Grant::One(ada, &one, Access::Admin)).unwrap());
    write!(log, |edit| edit.grant(&Grant::Founder("carol", &two)).unwrap());
    write!(log, |edit| edit.grant(&Grant::Founder("carol", &two)).unwrap());
    look!(log, |view| {
        let granted = |to, id| view.granted(to, id).unwrap();
        assert_eq!(
            granted(Holder::Token(ada), &one),
            Some(Access::Admin),
            "in place of what was granted there"
        );
        assert_eq!((granted(Holder::Token(ada), &two), granted(Holder::Token(bob), &one)), (None, None));
        assert_eq!(granted(Holder::Subject("carol"), &two), Some(Access::Admin));
        assert_eq!(
            (granted(Holder::Subject("carol"), &one), granted(Holder::Subject("dan"), &two)),
            (None, None)
        );
        assert_eq!(view.unowned(2).unwrap(), (1, vec![three]));
        let list = |listed, limit| {
            let documents = view.documents(&Which::Changed(0, listed), limit).unwrap();
            documents.into_iter().map(|document| document.uuid).collect::<Vec<_>>()
        };
        assert_eq!((list(Listed::All, 9), list(Listed::All, 2)), (vec![one, two, three], vec![one, two]));
        assert_eq!(list(Listed::Of(ada, None), 9), [one]);
        assert_eq!(list(Listed::Of(ada, Some(three)), 9), [one, three]);
        let carol = |which| Some(("carol".to_owned(), which));
        assert_eq!(list(Listed::Claimed(vec![three], None), 9), [three]);
        assert_eq!(list(Listed::Claimed(vec![three], carol(None)), 9), [two, three]);
        assert_eq!(list(Listed::Claimed(vec![], carol(Some(vec![one]))), 9), []);
        assert_eq!(list(Listed::Claimed(vec![], carol(Some(vec![two]))), 9), [two]);
    });
    write!(log, |edit| edit.grant(&Grant::Like { from: ada, to: bob }).unwrap());
    assert_eq!(look!(log, |view| view.granted(Holder::Token(bob), &one).unwrap()), Some(Access::Admin));
    write!(log, |edit| edit.delete(&three, NOW).unwrap());
    assert_eq!(
        write!(log, |edit| edit.grant(&Grant::All(bob, Access::Read)).unwrap()),
        2,
        "deleted ones left out"
    );
    assert_eq!(look!(log, |view| view.granted(Holder::Token(bob), &one).unwrap()), Some(Access::Read));
}

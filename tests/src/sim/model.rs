//! What was done, and what is known of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use rejoin::ChangeHash;
use serde_json::Value;

use super::expected::Expected;

/// A number for one action that was acknowledged: it stands in what the action wrote.
pub(super) type Token = usize;

/// Characters that went, each with those that put it there.
pub(super) type Gone = Vec<(char, Vec<Token>)>;

/// What an action comes to, wherever and whenever it meets the others.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// A value under a key, over those that were seen there.
    Put { path: String, value: Value, over: Vec<Token> },
    /// A key removed: those that were seen there.
    Remove { path: String, over: Vec<Token> },
    /// Added to a counter.
    Add { path: String, by: i64 },
    /// An element of a list.
    Element { path: String, value: Value },
    /// An element of a list removed: those that put it there.
    RemoveElement { path: String, value: Value, over: Vec<Token> },
    /// A splice: characters that nobody else writes (but whoever puts them back), and those that went.
    Splice { path: String, inserted: Vec<char>, removed: Gone },
    /// Nothing at all: an undo where nothing was left.
    Nothing,
    /// Something in a corner where all replicas must be equal, and nothing more is foretold.
    Wild,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) document: usize,
    pub(super) hash: ChangeHash,
    pub(super) effect: Effect,
    /// What it takes back: an undo an action or a redo, a redo an undo.
    pub(super) takes: Option<Token>,
    /// It found nothing left to take back: so it wrote nothing.
    pub(super) empty: bool,
    /// At some moment no store and no log held it any more.
    pub(super) lost: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) made: Vec<Made>,
    pub(super) by_hash: HashMap<ChangeHash, Token>,
    /// Changes that the library cannot take, pushed by strangers.
    pub(super) hostile: HashSet<ChangeHash>,
    /// Characters and elements that stood twice: two copies of a store had both put them back.
    pub(super) ambiguous: HashSet<String>,
    reserved: Token,
}

impl Model {
    /// A number for an action that is about to be dispatched.
    pub(super) fn reserve(&mut self) -> Token {
        self.reserved += 1;
        self.reserved
    }

    pub(super) fn count(&self) -> u64 {
        self.made.len() as u64
    }

    /// How many of them are undos and redos.
    pub(super) fn count_undos(&self) -> u64 {
        self.made.iter().filter(|made| made.takes.is_some()).count() as u64
    }

    /// An action was acknowledged. Two clones can make the very same change (a deletion, in the same second):
    /// that is one change.
    pub(super) fn add(&mut self, document: usize, hash: ChangeHash, effect: Effect) {
        self.add_made(Made { document, hash, effect, takes: None, empty: false, lost: false });
    }

    /// As [`Model::add`], of what may take something back.
    pub(super) fn add_made(&mut self, made: Made) {
        if self.by_hash.contains_key(&made.hash) {
            return;
        }
        self.by_hash.insert(made.hash, self.made.len());
        self.made.push(made);
    }

    /// The tokens of these changes, as first made.
    pub(super) fn tokens(&self, roots: &HashSet<ChangeHash>) -> BTreeSet<Token> {
        roots.iter().filter_map(|root| self.by_hash.get(root).copied()).collect()
    }

    fn standing<'a>(
        &'a self,
        standing: &'a HashSet<ChangeHash>,
    ) -> impl Iterator<Item = (Token, &'a Effect)> + 'a {
        let stands = |(_, made): &(Token, &Made)| standing.contains(&made.hash);
        self.made.iter().enumerate().filter(stands).map(|(token, made)| (token, &made.effect))
    }

    /// Those of `standing` that put something at `path`.
    pub(super) fn puts_at(&self, path: &str, standing: &HashSet<ChangeHash>) -> Vec<Token> {
        let puts = |effect: &Effect| matches!(effect, Effect::Put { path: p, .. } if p == path);
        self.standing(standing).filter(|(_, effect)| puts(effect)).map(|(token, _)| token).collect()
    }

    /// Those of them that nothing in `standing` covers.
    pub(super) fn live_puts_at(&self, path: &str, standing: &HashSet<ChangeHash>) -> Vec<Token> {
        let mut covered: HashSet<Token> = HashSet::new();
        for (_, effect) in self.standing(standing) {
            if let Effect::Put { over, .. } | Effect::Remove { over, .. } = effect {
                covered.extend(over);
            }
        }
        let mut puts = self.puts_at(path, standing);
        puts.retain(|token| !covered.contains(token));
        puts
    }

    /// Those of `standing` that put this element there, and that nothing in `standing` removed.
    pub(super) fn element(&self, path: &str, value: &Value, standing: &HashSet<ChangeHash>) -> Vec<Token> {
        let (mut there, mut gone) = (Vec::new(), HashSet::new());
        for (token, effect) in self.standing(standing) {
            match effect {
                Effect::Element { path: p, value: v } if p == path && v == value => there.push(token),
                Effect::RemoveElement { path: p, over, .. } if p == path => gone.extend(over.iter().copied()),
                _ => {}
            }
        }
        there.retain(|token| !gone.contains(token));
        there
    }

    /// Those of `standing` that put this character there, and that nothing in `standing` removed.
    pub(super) fn character(&self, path: &str, c: char, standing: &HashSet<ChangeHash>) -> Vec<Token> {
        let (mut there, mut gone) = (Vec::new(), HashSet::new());
        for (token, effect) in self.standing(standing) {
            let Effect::Splice { path: p, inserted, removed } = effect else { continue };
            if p == path && inserted.contains(&c) {
                there.push(token);
            }
            gone.extend(removed.iter().filter(|(r, _)| *r == c).flat_map(|(_, over)| over.iter().copied()));
        }
        there.retain(|token| !gone.contains(token));
        there
    }

    /// Compares a state with what these actions come to. Says what is wrong.
    pub(super) fn judge(&self, state: &Value, tokens: &BTreeSet<Token>) -> Result<(), String> {
        let mut expected = Expected::new(&self.ambiguous);
        for token in tokens {
            if let Some(made) = self.made.get(*token) {
                expected.take(*token, &made.effect);
            }
        }
        expected.judge(state)
    }
}

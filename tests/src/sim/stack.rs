//! What undo and redo must take next: computed from what a store holds, forwards, where the shipped code walks
//! backwards.

use std::collections::{BTreeSet, HashSet};

use super::model::{Model, Token};

/// What can be undone and redone, the next one last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    /// Actions, and redos that stand for them.
    pub(super) done: Vec<Token>,
    /// Undos.
    pub(super) undone: Vec<Token>,
}

impl Model {
    /// How many undos and redos lie between this and an action: odd for an undo, even for an action and a redo.
    fn depth(&self, token: Token) -> usize {
        std::iter::successors(Some(token), |token| self.made[*token].takes).count() - 1
    }

    /// Whether it is an undo.
    pub(super) fn is_undo(&self, token: Token) -> bool {
        self.depth(token) % 2 == 1
    }

    /// The action at the end of undos and redos.
    pub(super) fn action(&self, token: Token) -> Token {
        std::iter::successors(Some(token), |token| self.made[*token].takes).last().unwrap_or(token)
    }

    /// Those of `standing` that count as taken back at the store that made `own`: by something that is not taken back
    /// itself, and that was made there or wrote something.
    pub(super) fn taken_back(&self, standing: &BTreeSet<Token>, own: &[Token]) -> HashSet<Token> {
        self.taken_back_with((standing, own), None)
    }

    /// The same once `next` is taken back too.
    pub(super) fn taken_back_with(
        &self,
        (standing, own): (&BTreeSet<Token>, &[Token]),
        next: Option<Token>,
    ) -> HashSet<Token> {
        let mut taken: HashSet<Token> = next.into_iter().collect();
        for token in standing.iter().rev() {
            let counts = !self.made[*token].empty || own.contains(token);
            if let (Some(target), false) = (self.made[*token].takes.filter(|_| counts), taken.contains(token))
            {
                taken.insert(target);
            }
        }
        taken
    }

    /// Whether another copy of the store took back, or did again, something that is its own: whether something of that
    /// is left, and so is undone here too, is not foretold.
    pub(super) fn is_contested(&self, standing: &BTreeSet<Token>, own: &[Token]) -> bool {
        let theirs = standing.iter().filter(|token| !own.contains(token));
        theirs.filter_map(|token| self.made[*token].takes).any(|target| own.contains(&target))
    }

    /// The stack of a store that holds `standing`, of which it made `own`, in this order. An undo counts whoever
    /// did it: another copy of the store may have.
    pub(super) fn stack(&self, own: &[Token], standing: &BTreeSet<Token>) -> Stack {
        let taken = self.taken_back(standing, own);
        let mut stack = Stack::default();
        for token in own {
            match self.made[*token].takes {
                None => {
                    stack.done.push(*token);
                    if !taken.contains(token) {
                        stack.undone.clear();
                    }
                }
                Some(_) if self.is_undo(*token) => {
                    // What another copy of the store took back is as if it had not been: so here, and for redos below.
                    if !taken.contains(token) {
                        let action = self.action(*token);
                        stack.done.retain(|done| self.action(*done) != action);
                    }
                    stack.undone.push(*token);
                }
                Some(undo) => {
                    if !taken.contains(token) {
                        stack.undone.retain(|undone| *undone != undo);
                    }
                    stack.done.push(*token);
                }
            }
        }
        stack.done.retain(|done| !taken.contains(done) && !taken.contains(&self.action(*done)));
        stack.undone.retain(|undone| !taken.contains(undone));
        stack
    }
}

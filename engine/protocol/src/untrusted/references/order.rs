//! Where elements of a text lie: an element lies behind the one that it was inserted after, and before all that lay there
//! already.

use std::collections::HashMap;

use super::{
    Checked, Objection, References, Subject,
    operations::{Id, Kind, Operation},
    refused,
};

/// How far the way up from an element may be followed, for one mark.
const MOST_STEPS: usize = 400_000;

impl References<'_> {
    /// A mark ends behind its beginning: else the library writes files that it cannot load. Its beginning is the operation
    /// before its end, and was inserted right behind some element; so its end was inserted behind one that lies further on,
    /// or behind the beginning itself.
    pub(super) fn check_mark(&mut self, subject: &Subject<'_>, end: &Operation) -> Checked<()> {
        let nth = subject.done.len() + 1;
        let begin = subject.done.last().filter(|begin| begin.kind == Kind::MarkBegin);
        let Some(begin) = begin.copied() else { return refused(nth, "ends a mark that was not begun") };
        let own = Id::new(subject.actor, subject.start.saturating_add(nth as u64 - 2))?;
        match (begin.after, end.after) {
            (_, Some(behind)) if behind == own => Ok(()),
            (None, Some(_)) => Ok(()),
            (Some(from), Some(to)) if self.lies_before(subject, from, to)? => Ok(()),
            _ => refused(nth, "ends a mark before its beginning"),
        }
    }

    /// Whether one element lies before another. Their ways up are followed by turns until they meet: for neighbours that is
    /// soon.
    fn lies_before(&mut self, subject: &Subject<'_>, one: Id, other: Id) -> Checked<bool> {
        if one == other {
            return Ok(false);
        }
        let mut ways = [Way::from(one), Way::from(other)];
        for step in 0..MOST_STEPS {
            let [first, second] = &mut ways;
            let (way, across) = if step % 2 == 0 { (first, &*second) } else { (second, &*first) };
            match (way.at, across.at) {
                (None, None) => return Ok(self.comes_first([ways[0].top, ways[1].top])),
                (None, Some(_)) => {}
                (Some(from), _) => {
                    let up = self.find(subject, from)?.and_then(|element| element.after);
                    way.go(from, up);
                    if let Some(up) = up
                        && across.below.contains_key(&up)
                    {
                        return Ok(self.comes_first([ways[0].under(up), ways[1].under(up)]));
                    }
                }
            }
        }
        Err(Objection::Held("where its marks lie takes long to see"))
    }

    /// Of the last elements on the two ways before they met. None: there the element itself is where they meet.
    fn comes_first(&self, below: [Option<Id>; 2]) -> bool {
        match below {
            [None, _] => true,
            [_, None] => false,
            [Some(one), Some(other)] => self.operations.comes_first(one, other),
        }
    }
}

/// The way up from an element.
struct Way {
    /// Where it has come to. `None`: to the head.
    at: Option<Id>,
    /// Of each element that was passed, from where.
    below: HashMap<Id, Option<Id>>,
    /// The last before the head.
    top: Option<Id>,
}

impl Way {
    fn from(element: Id) -> Self {
        Self { at: Some(element), below: HashMap::from([(element, None)]), top: None }
    }

    fn go(&mut self, from: Id, up: Option<Id>) {
        self.at = up;
        match up {
            Some(up) => drop(self.below.insert(up, Some(from))),
            None => self.top = Some(from),
        }
    }

    fn under(&self, element: Id) -> Option<Id> {
        self.below.get(&element).copied().flatten()
    }
}

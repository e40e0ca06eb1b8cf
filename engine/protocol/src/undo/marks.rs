//! Marks on texts (bold, a link): where the change's own still reads, what read before it returns.

use automerge::{ObjId, ReadDoc, ScalarValue, marks::Mark};

use super::{
    plan::{Inverse, Planner},
    sequence::Sequence,
};

impl Planner<'_> {
    /// Takes back what the change did to the marks of one name.
    pub(super) fn unmark(&mut self, object: &ObjId, name: &str) {
        let Some(live) = self.live(object) else {
            self.plan.skipped += 1;
            return;
        };
        let (before_heads, after_heads) = (self.target.deps.as_slice(), [self.target.hash]);
        let marks = |found: Result<Vec<Mark>, _>| Marks::of(found.unwrap_or_default(), name);
        let before = marks(self.am.marks_at(object, before_heads));
        let after = marks(self.am.marks_at(object, &after_heads));
        let now = marks(self.am.marks(&live));
        let standing = &self.facts.standing;
        let was = Sequence::read(self.am, object, Some(before_heads), standing);
        let became = Sequence::read(self.am, object, Some(&after_heads), standing);
        let nth = self.list(object, live.clone());
        let Some(list) = self.lists.get(nth) else { return };
        let (mut runs, mut left) = (Vec::<Run>::new(), false);
        for element in &became.elements {
            let Some((_, old)) = was.find(&element.first) else { continue };
            let (old, new) = (before.at(old.index), after.at(element.index));
            if old == new {
                continue;
            }
            match list.now.find(&element.first) {
                Some((_, there)) if now.at(there.index) == new => match runs.last_mut() {
                    Some(run) if run.end == there.index && run.value == *old => run.end += there.width,
                    _ => {
                        let (start, end) = (there.index, there.index + there.width);
                        runs.push(Run { start, end, value: old.clone() });
                    }
                },
                _ => left = true,
            }
        }
        self.plan.undone += u64::from(!runs.is_empty());
        self.plan.skipped += u64::from(left || runs.is_empty());
        let marks =
            runs.into_iter().map(|Run { start, end, value }| Mark::new(name.into(), value, start, end));
        self.plan.inverses.extend(marks.map(|mark| Inverse::Mark { object: live.clone(), mark }));
    }
}

/// Neighbours that get the same value.
struct Run {
    start: usize,
    end: usize,
    value: ScalarValue,
}

/// The marks of one name, which do not overlap.
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn of(mut all: Vec<Mark>, name: &str) -> Self {
        all.retain(|mark| mark.name == name);
        Self(all)
    }

    /// What is marked there: null where nothing is.
    pub(super) fn at(&self, index: usize) -> &ScalarValue {
        let found = self.0.iter().find(|mark| (mark.start..mark.end).contains(&index));
        found.map_or(&ScalarValue::Null, |mark| &mark.value)
    }
}

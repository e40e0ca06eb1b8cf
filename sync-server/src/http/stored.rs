//! A push on its way into the log: a large one in pieces, so that what was read of it is never all in memory, and other
//! pushes get between.

use std::{ops::Range, sync::Arc};

use rejoin::{
    Cursor, DocumentId,
    fence::{CheckedChange, Refusal, WalkBudget},
};
use tokio::task::JoinHandle;

use super::body::{Held, Received};
use crate::{
    AppState, ServerLimits,
    rules::{Code, Fault, Principal, Push, Receipt, check_body, pieces},
    state::now,
};

/// Bodies larger than this are checked on a thread where working long is allowed.
const LARGE: usize = 32 * 1024;

/// Checks and commits a push. What was stored of it when it fails stays: "what is not in `rejected` is stored", and whoever
/// pushes it again is told of duplicates. The body is gone then; its share of memory is given back by who has told of it.
pub(super) async fn store(
    state: &AppState,
    received: Received,
    (document, after, by): (DocumentId, Option<Cursor>, &Principal),
) -> Result<(Receipt, Held), Fault> {
    let Received { bytes, held } = received;
    let (body, shared, limits) = (Arc::new(bytes), &state.shared, state.shared.config.limits);
    let parts = pieces(&body, &limits)?;
    let _turn = match parts.len() {
        0 | 1 => None,
        _ => Some(shared.large_pushes.acquire().await.map_err(|_| Fault::new(Code::Unavailable))?),
    };
    let mut parts = parts.into_iter().map(|part| Checking::begin(&body, part, limits));
    let (mut receipt, mut walk, mut next) = (None, WalkBudget::default(), parts.next());
    while let Some(checking) = next {
        let changes = checking.end().await?;
        // While this piece is committed the next is checked.
        next = parts.next();
        let most_bytes = limits.document_bytes;
        let push = Push { document, after: after.clone(), changes, by: by.clone(), most_bytes, walk };
        let piece = shared.committer.push(push, now()).await?;
        if piece.accepted > 0 {
            shared.notes.pushed(document);
            shared.pushes.note(document);
        }
        walk = piece.walk;
        receipt = Some(Receipt::after(receipt, piece));
    }
    Ok((receipt.ok_or_else(|| Fault::new(Code::Internal))?, held))
}

type Checked = Result<Vec<Result<CheckedChange, Refusal>>, Fault>;

/// A piece that is being checked.
enum Checking {
    Done(Checked),
    Begun(JoinHandle<Checked>),
}

impl Checking {
    fn begin(body: &Arc<Vec<u8>>, part: Range<usize>, limits: ServerLimits) -> Self {
        if part.len() <= LARGE {
            return Self::Done(check_body(body.get(part).unwrap_or_default(), &limits));
        }
        let body = Arc::clone(body);
        let work = move || check_body(body.get(part).unwrap_or_default(), &limits);
        Self::Begun(tokio::task::spawn_blocking(work))
    }

    async fn end(self) -> Checked {
        match self {
            Self::Done(checked) => checked,
            Self::Begun(task) => task.await.map_err(|_| Fault::new(Code::Internal))?,
        }
    }
}

//! Writing to the log: the changes of one push, in one savepoint.

use std::collections::{BTreeSet, HashMap, HashSet};

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{Ancestry, CheckedChange, Last, Reach},
    rewrite::Claim,
};
use rusqlite::{CachedStatement, OptionalExtension, named_params};

use super::{
    Digest, Document, LogError, Mark, View,
    ancestors::Ancestors,
    brought::Tally,
    claimed::Claimed,
    view::{encode_deps, row_key, signed},
};

/// Appends changes to one document's log. What it wrote is seen by its own reads at once.
pub(crate) struct Appender<'c> {
    pub(super) view: View<'c>,
    pub(super) document: Document,
    feed: u64,
    pub(super) start: u64,
    insert: CachedStatement<'c>,
    /// Positions of what was appended here: found without asking SQLite.
    fresh: HashMap<ChangeHash, u64>,
    /// Their hashes and their dependencies, from position `start + 1` on.
    hashes: Vec<ChangeHash>,
    deps: Vec<Vec<u64>>,
    /// How far they count.
    reaches: Vec<Reach>,
    /// Its heads, once somebody asked.
    heads: Option<Heads>,
    pub(super) tally: Tally,
    /// What the appended changes are rewritings of.
    rewritten: HashMap<ChangeHash, ChangeHash>,
    /// The claims that were proved here, of what was appended and of what was not.
    proved: HashMap<ChangeHash, Claim>,
    actors: HashMap<ActorId, Option<ActorRow>>,
    ancestors: Ancestors,
    /// A hash that cannot be in the log, known without a look.
    absent: Option<ChangeHash>,
    encoded: Vec<u8>,
}

/// Heads by their positions.
#[derive(Debug)]
pub(crate) struct Heads {
    all: HashSet<u64>,
    /// Those of whoever pushes.
    own: HashSet<u64>,
}

/// How many heads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadCount {
    pub(crate) all: u64,
    /// Those of whoever pushes.
    pub(crate) own: u64,
}

impl Heads {
    fn append(&mut self, deps: &[u64], position: u64) {
        for heads in [&mut self.all, &mut self.own] {
            deps.iter().for_each(|dep| {
                heads.remove(dep);
            });
            heads.insert(position);
        }
    }

    fn count(&self) -> HeadCount {
        HeadCount { all: self.all.len() as u64, own: self.own.len() as u64 }
    }

    /// How many there would be with a change that depends on these.
    fn count_with(&self, deps: &[u64]) -> HeadCount {
        let merged: HashSet<&u64> = deps.iter().collect();
        let left = |heads: &HashSet<u64>| heads.iter().filter(|head| !merged.contains(head)).count() as u64;
        HeadCount { all: left(&self.all) + 1, own: left(&self.own) + 1 }
    }
}

#[derive(Debug, Clone, Copy)]
struct ActorRow {
    key: i64,
    last: Last,
    moved: bool,
}

impl<'c> Appender<'c> {
    /// For a document that is there.
    pub(crate) fn open(view: View<'c>, document: Document) -> Result<Self, LogError> {
        let feed = next_feed(view)?;
        let insert = view.connection.prepare_cached(
            "INSERT INTO change (id, hash, lookup, actor, seq, deps, digest, bytes, was)
             VALUES (:id, :hash, :lookup, :actor, :seq, :deps, :digest, :bytes, :was)",
        )?;
        Ok(Self {
            view,
            feed,
            start: document.end.position,
            document,
            insert,
            fresh: HashMap::new(),
            hashes: Vec::new(),
            deps: Vec::new(),
            reaches: Vec::new(),
            heads: None,
            tally: Tally::default(),
            rewritten: HashMap::new(),
            proved: HashMap::new(),
            actors: HashMap::new(),
            ancestors: Ancestors::default(),
            absent: None,
            encoded: Vec::new(),
        })
    }

    /// Makes a document. To be undone where nothing is appended to it then.
    pub(crate) fn create(view: View<'c>, id: &DocumentId, now: i64) -> Result<Self, LogError> {
        let end = Mark::default();
        view.connection
            .prepare_cached(
                "INSERT INTO document (uuid, last, digest, rewritten, bytes, feed, made_at)
                 VALUES (:uuid, 0, :digest, 0, 0, :feed, :now)",
            )?
            .execute(named_params! {
                ":uuid": id.as_bytes(),
                ":digest": end.digest.0,
                ":feed": signed(next_feed(view)?),
                ":now": now,
            })?;
        let key = view.connection.last_insert_rowid();
        Self::open(view, Document { key, uuid: *id, end, rewritten: 0, bytes: 0, deleted: false })
    }

    /// Where what is appended here begins.
    pub(crate) fn first(&self) -> u64 {
        self.start + 1
    }

    /// The end of the log as it is now.
    pub(crate) fn end(&self) -> Mark {
        self.document.end
    }

    /// Whether the log holds something of this actor.
    pub(crate) fn knows(&mut self, actor: &ActorId) -> Result<bool, LogError> {
        Ok(self.actor(actor)?.is_some())
    }

    /// How many heads it would have with a change of `by`, who pushes this, that depends on these.
    pub(crate) fn heads_with(&mut self, deps: &[u64], by: Option<&str>) -> Result<HeadCount, LogError> {
        if self.heads.is_none() {
            self.heads = Some(self.read_heads(by)?);
        }
        Ok(self.heads.as_ref().map_or(HeadCount { all: 1, own: 1 }, |heads| heads.count_with(deps)))
    }

    /// How many heads it has now.
    pub(crate) fn count_heads(&self, by: Option<&str>) -> Result<HeadCount, LogError> {
        Ok(self.read_heads(by)?.count())
    }

    fn read_heads(&self, by: Option<&str>) -> Result<Heads, LogError> {
        let mut all = self.view.head_positions(self.document.key)?;
        self.deps.iter().flatten().for_each(|dep| {
            all.remove(dep);
        });
        let mut own = self.view.pushed_by(self.document.key, &all, by)?;
        let used: HashSet<u64> = self.deps.iter().flatten().copied().collect();
        let fresh = (self.start + 1..=self.document.end.position).filter(|at| !used.contains(at));
        for position in fresh {
            all.insert(position);
            own.insert(position);
        }
        Ok(Heads { all, own })
    }

    /// To be called before the fence places `change`: spares a look at the index where its number alone shows
    /// that the log cannot hold it (an actor's changes are in the log without a gap).
    pub(crate) fn expect(&mut self, change: &CheckedChange) -> Result<(), LogError> {
        let last = self.actor(&change.actor)?.map_or(0, |row| row.last.seq);
        self.absent = (change.seq > last).then_some(change.hash);
        Ok(())
    }

    /// What the change was before it was rewritten after a fork, where it is proved that it is that one.
    pub(crate) fn prove(&mut self, claimed: &Claimed) -> Result<Option<ChangeHash>, LogError> {
        let Claimed { change, claim } = claimed;
        let mut held: HashMap<ChangeHash, Claim> = HashMap::new();
        for dep in change.deps() {
            if let Some(claim) = self.proved_claim(dep)? {
                held.insert(*dep, claim);
            }
        }
        let holds = claim.holds(change, |dep| Ok::<_, LogError>(held.get(dep).cloned()))?;
        if !holds {
            return Ok(None);
        }
        self.proved.insert(change.hash(), claim.clone());
        Ok(Some(claim.was()))
    }

    /// The claim of a change in the log, or of one that was looked at here, where it was proved.
    fn proved_claim(&mut self, hash: &ChangeHash) -> Result<Option<Claim>, LogError> {
        if let Some(claim) = self.proved.get(hash) {
            return Ok(Some(claim.clone()));
        }
        if self.document.rewritten == 0 {
            return Ok(None);
        }
        let Some(position) = self.locate(hash)? else { return Ok(None) };
        self.view.proved_claim(self.document.key, (position, hash))
    }

    /// The change in this log that is the same one in another spelling: what `change` was before it was
    /// rewritten after a fork, what it was rewritten as, or another rewriting of the same. `was`: what it is proved
    /// to have been.
    pub(crate) fn twin(
        &mut self,
        change: &CheckedChange,
        was: Option<&ChangeHash>,
    ) -> Result<Option<ChangeHash>, LogError> {
        let first = was.unwrap_or(&change.hash);
        if was.is_some() && self.locate(first)?.is_some() {
            return Ok(Some(*first));
        }
        // Nearly all logs hold no rewritten change: then there is nothing to look for.
        if let Some(as_what) = self.rewritten.get(first) {
            return Ok(Some(*as_what));
        }
        if self.document.rewritten == 0 {
            return Ok(None);
        }
        self.view.rewritten_as(self.document.key, first)
    }

    /// Appends a change that the fence placed; gives its position. `was`: what it is proved to have been.
    pub(crate) fn append(
        &mut self,
        change: &CheckedChange,
        (deps, reach): (Vec<u64>, Reach),
        was: Option<ChangeHash>,
    ) -> Result<u64, LogError> {
        let end = Mark {
            position: self.document.end.position + 1,
            digest: self.document.end.digest.then_change(&change.hash),
        };
        let actor = self.actor_key(change, end.position)?;
        encode_deps(end.position, &deps, &mut self.encoded);
        self.insert.execute(named_params! {
            ":id": row_key(self.document.key, end.position),
            ":hash": change.hash.0,
            ":lookup": super::view::lookup_key(self.document.key, end.position, &change.hash),
            ":actor": actor,
            ":seq": signed(change.seq),
            ":deps": self.encoded,
            ":digest": end.digest.0,
            ":bytes": change.bytes,
            ":was": was.map(|hash| hash.0),
        })?;
        if reach != Reach::plain(change.start_op, change.operations) {
            self.view.write_reach(self.document.key, end.position, reach)?;
        }
        self.document.end = end;
        self.document.bytes += change.bytes.len() as u64;
        self.tally.note(change, change.seq == 1);
        self.fresh.insert(change.hash, end.position);
        self.hashes.push(change.hash);
        if let Some(heads) = &mut self.heads {
            heads.append(&deps, end.position);
        }
        self.deps.push(deps);
        self.reaches.push(reach);
        if let Some(was) = was {
            self.rewritten.insert(was, change.hash);
        }
        Ok(end.position)
    }

    /// Writes what follows from the appended changes: heads, actors, the document's end, the feed. Gives the
    /// document as it is now.
    pub(crate) fn finish(mut self) -> Result<Document, LogError> {
        self.write_heads()?;
        self.write_actors()?;
        self.document.rewritten += self.rewritten.len() as u64;
        write_document(self.view, &self.document, self.feed)?;
        write_feed(self.view, &self.document, self.feed)?;
        Ok(self.document)
    }

    fn write_heads(&self) -> Result<(), LogError> {
        let used: BTreeSet<u64> = self.deps.iter().flatten().copied().collect();
        let key = |position| row_key(self.document.key, position);
        let mut delete = self.view.connection.prepare_cached("DELETE FROM head WHERE id = :id")?;
        for position in used.range(..=self.start) {
            delete.execute(named_params! { ":id": key(*position) })?;
        }
        let mut insert =
            self.view.connection.prepare_cached("INSERT INTO head (id, hash) VALUES (:id, :hash)")?;
        let appended = (self.start + 1..).zip(&self.hashes);
        for (position, hash) in appended.filter(|(position, _)| !used.contains(position)) {
            insert.execute(named_params! { ":id": key(position), ":hash": hash.0 })?;
        }
        Ok(())
    }

    fn write_actors(&self) -> Result<(), LogError> {
        let mut update = self
            .view
            .connection
            .prepare_cached("UPDATE actor SET seq = :seq, position = :position WHERE id = :id")?;
        for row in self.actors.values().flatten().filter(|row| row.moved) {
            update.execute(named_params! {
                ":id": row.key,
                ":seq": signed(row.last.seq),
                ":position": signed(row.last.position),
            })?;
        }
        Ok(())
    }

    /// The key of the change's actor, who now has this change as the last.
    fn actor_key(&mut self, change: &CheckedChange, position: u64) -> Result<i64, LogError> {
        let last = Last { seq: change.seq, position };
        let key = match self.actor(&change.actor)? {
            Some(row) => row.key,
            None => insert_actor(self.view, self.document.key, &change.actor, last)?,
        };
        self.actors.insert(change.actor.clone(), Some(ActorRow { key, last, moved: true }));
        Ok(key)
    }

    fn actor(&mut self, actor: &ActorId) -> Result<Option<ActorRow>, LogError> {
        if let Some(known) = self.actors.get(actor) {
            return Ok(*known);
        }
        let row = self.view.actor(self.document.key, actor)?;
        let row = row.map(|(key, last)| ActorRow { key, last, moved: false });
        self.actors.insert(actor.clone(), row);
        Ok(row)
    }
}

/// "What depends on order is decided against rows pending in the same group": those of this push are in
/// memory, those of other pushes of the group are in the same transaction.
impl Ancestry for Appender<'_> {
    type Error = LogError;

    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        if let Some(position) = self.fresh.get(hash) {
            return Ok(Some(*position));
        }
        if self.absent.as_ref() == Some(hash) {
            return Ok(None);
        }
        self.view.locate(self.document.key, self.start, hash)
    }

    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>, LogError> {
        if position <= self.start {
            return self.ancestors.dependencies(self.view, self.document.key, position);
        }
        let index = usize::try_from(position - self.start - 1).unwrap_or(usize::MAX);
        let deps = self.deps.get(index).cloned();
        deps.ok_or_else(|| LogError::Damaged(format!("no change was appended at position {position}")))
    }

    fn reach(&mut self, position: u64) -> Result<Reach, LogError> {
        let index = position.checked_sub(self.start + 1).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.reaches.get(index)) {
            Some(reach) => Ok(*reach),
            None => self.view.reach(self.document.key, position),
        }
    }

    fn last_of(&mut self, actor: &ActorId) -> Result<Option<Last>, LogError> {
        Ok(self.actor(actor)?.map(|row| row.last))
    }
}

/// Puts a tombstone on a document, made for it where the server never had it. `None`: it had one.
pub(crate) fn bury(view: View<'_>, id: &DocumentId, now: i64) -> Result<Option<()>, LogError> {
    let mut document = match view.document(id)? {
        Some(document) if document.deleted => return Ok(None),
        Some(document) => document,
        None => Appender::create(view, id, now)?.document,
    };
    document.deleted = true;
    let feed = next_feed(view)?;
    write_document(view, &document, feed)?;
    view.connection
        .prepare_cached("UPDATE document SET deleted_at = :now WHERE id = :id")?
        .execute(named_params! { ":id": document.key, ":now": now })?;
    view.forget_found(document.key)?;
    view.connection
        .prepare_cached("DELETE FROM snapshot WHERE document = :id")?
        .execute(named_params! { ":id": document.key })?;
    write_feed(view, &document, feed)?;
    Ok(Some(()))
}

fn insert_actor(view: View<'_>, document: i64, actor: &ActorId, last: Last) -> Result<i64, LogError> {
    view.connection
        .prepare_cached(
            "INSERT INTO actor (document, bytes, seq, position) VALUES (:document, :bytes, :seq, :position)",
        )?
        .execute(named_params! {
            ":document": document,
            ":bytes": actor.to_bytes(),
            ":seq": signed(last.seq),
            ":position": signed(last.position),
        })?;
    Ok(view.connection.last_insert_rowid())
}

fn write_document(view: View<'_>, document: &Document, feed: u64) -> Result<(), LogError> {
    view.connection
        .prepare_cached(
            "UPDATE document SET last = :last, digest = :digest, rewritten = :rewritten, bytes = :bytes,
                    feed = :feed
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": document.key,
            ":last": signed(document.end.position),
            ":digest": document.end.digest.0,
            ":rewritten": signed(document.rewritten),
            ":bytes": signed(document.bytes),
            ":feed": signed(feed),
        })?;
    Ok(())
}

fn next_feed(view: View<'_>) -> Result<u64, LogError> {
    Ok(last_feed(view)?.position + 1)
}

/// The newest entry of the feed.
pub(super) fn last_feed(view: View<'_>) -> Result<Mark, LogError> {
    let mut statement =
        view.connection.prepare_cached("SELECT id, digest FROM feed ORDER BY id DESC LIMIT 1")?;
    let mark = statement.query_row([], |row| {
        Ok(Mark { position: super::view::unsigned(row, 0)?, digest: Digest(row.get(1)?) })
    });
    Ok(mark.optional()?.unwrap_or_default())
}

fn write_feed(view: View<'_>, document: &Document, feed: u64) -> Result<(), LogError> {
    let deleted = [u8::from(document.deleted)];
    let digest = last_feed(view)?.digest.then(&[document.uuid.as_bytes(), &document.end.digest.0, &deleted]);
    view.connection
        .prepare_cached("INSERT INTO feed (id, document, digest) VALUES (:id, :document, :digest)")?
        .execute(named_params! { ":id": signed(feed), ":document": document.key, ":digest": digest.0 })?;
    Ok(())
}

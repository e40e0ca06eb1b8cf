//! Files: export, import, backup, and the check of a store.

use std::{collections::HashSet, path::Path};

use automerge::ChangeHash;
use rusqlite::named_params;

use super::{CheckReport, Core, heal::Bulk, open::connect, poison::examine_loaded, rows};
use crate::{
    DocumentId, Error, Result, fence,
    fence::{DocumentLimits, check_document},
    files::Temporary,
    untrusted::{check_references, guarded, load_untrusted},
};

impl Core {
    /// The document as a compact Automerge file, readable by any Automerge.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn export(&mut self, id: DocumentId) -> Result<Vec<u8>> {
        let replica = self.replica(id)?;
        guarded(|| replica.am.save()).map_err(Error::Corrupt)
    }

    /// A new document from an Automerge file. Its changes are offered to the server at the next sync; what
    /// the server holds of them is a duplicate and costs nothing.
    ///
    /// # Errors
    /// [`Error::Import`] when the bytes are no such file or outside the limits, [`Error::DocumentExists`].
    pub fn import(&mut self, bytes: &[u8], id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> {
        self.import_file(bytes, id, name).map_err(|error| match error {
            // What is wrong is wrong with the file.
            Error::Protocol(text) | Error::Library(text) => Error::Import(text),
            Error::Refused(refusal) => Error::Import(refusal.detail),
            other => other,
        })
    }

    fn import_file(
        &mut self,
        bytes: &[u8],
        id: Option<DocumentId>,
        name: Option<&str>,
    ) -> Result<DocumentId> {
        check_document(bytes, &DocumentLimits::default()).map_err(|e| Error::Import(e.to_string()))?;
        self.prove_file(bytes).map_err(Error::Import)?;
        let am =
            load_untrusted(bytes, &DocumentLimits::default()).map_err(|e| Error::Import(e.to_string()))?;
        examine_loaded(&am, bytes).map_err(Error::Import)?;
        let changes = guarded(|| am.get_changes(&[])).map_err(Error::Import)?;
        check_references(&changes).map_err(Error::Import)?;
        let id = self.create(id, name)?;
        let stored = self.write(&[id], |w| {
            let about = Bulk { local: false, acknowledged: false, queued: false };
            w.store_whole(id, am, &changes, &about)
        });
        if let Err(error) = stored {
            self.leave(id)?;
            return Err(error);
        }
        Ok(id)
    }

    /// A consistent copy of the whole store in a new file (mode 0600), while it is in use.
    ///
    /// # Errors
    /// [`Error::Io`] when the file exists or cannot be made, [`Error::DiskFull`].
    pub fn backup(&mut self, to: &Path) -> Result<()> {
        let io = |source| Error::Io { path: to.to_owned(), source };
        if std::fs::symlink_metadata(to).is_ok() {
            return Err(io(std::io::ErrorKind::AlreadyExists.into()));
        }
        // Under its name stands a whole copy or none.
        let copy = Temporary::beside(to).map_err(io)?;
        let mut target = connect(copy.path(), rusqlite::OpenFlags::default())?;
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut target)?;
        backup.run_to_completion(1_000, std::time::Duration::ZERO, None)?;
        drop(backup);
        // One file, without a log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        target.close().map_err(|(_, error)| error)?;
        copy.create().map_err(io)
    }

    /// Reads the whole file and says what is wrong with it, and what to do.
    ///
    /// # Errors
    /// Only when not even the check can be made.
    pub fn check(&mut self) -> Result<CheckReport> {
        let mut report =
            CheckReport { ok: true, problems: Vec::new(), advice: Vec::new(), documents: 0, changes: 0 };
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let lines = statement.query_map([], |r| r.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>();
        drop(statement);
        match lines {
            Ok(lines) => report
                .problems
                .extend(lines.into_iter().filter(|l| l != "ok").map(|l| format!("SQLite: {l}."))),
            Err(error) => report.problems.push(format!("SQLite cannot read the file: {error}.")),
        }
        for row in rows::read_documents(&self.connection)? {
            report.documents += 1;
            if let Err(error) = self.check_document(row.uuid, row.id, &mut report) {
                report.problems.push(format!("Document {}: {error}.", row.uuid));
            }
        }
        report.ok = report.problems.is_empty();
        if !report.ok {
            report.advice.push("Make a copy of the file before anything else.".to_owned());
            report.advice.push(
                "Export what can be read: rejoin export DOC FILE; of a damaged document, rejoin export --salvage DOC FILE."
                    .to_owned(),
            );
            report.advice.push(
                "A backup takes its place with rejoin restore FILE, which keeps this file beside it."
                    .to_owned(),
            );
            report.advice.push(
                "Without a backup, what was synced is at the server: move the file away, make a new store and join the \
                 documents again."
                    .to_owned(),
            );
        }
        Ok(report)
    }

    fn check_document(&mut self, id: DocumentId, document: i64, report: &mut CheckReport) -> Result<()> {
        let rows = rows::read_changes(&self.connection, document, 0)?;
        let mut standing: HashSet<u64> = HashSet::new();
        for row in &rows {
            report.changes += 1;
            let refused = row.quarantined.is_some();
            let bytes = rows::read_bytes(&self.connection, row.id)?;
            match fence::check_bytes(&bytes, &self.limits) {
                Ok(change) if change.hash == row.hash => {}
                _ if refused => {}
                _ => {
                    report.problems.push(format!("Change {} of document {id} is not what it was.", row.hash))
                }
            }
            if row.stands() && !refused && !row.deps.iter().all(|dep| standing.contains(dep)) {
                report
                    .problems
                    .push(format!("Change {} of document {id} stands before what it depends on.", row.hash));
            }
            if row.stands() {
                standing.insert(row.position());
            }
        }
        self.check_queue(id, document, report)?;
        // Opening compares the heads.
        self.replicas.forget(id);
        let heads: HashSet<ChangeHash> = self.replica(id)?.am.get_heads().into_iter().collect();
        let lost =
            rows.iter().filter(|r| r.stands() && r.quarantined.is_none() && heads.contains(&r.hash)).count();
        if lost != heads.len() {
            report.problems.push(format!("Document {id} has heads without a row."));
        }
        Ok(())
    }

    /// Every change made here that the server is not known to hold has a queue row (invariant 1).
    fn check_queue(&self, id: DocumentId, document: i64, report: &mut CheckReport) -> Result<()> {
        let sql = "SELECT count(*) FROM change c LEFT JOIN pending p ON p.id = c.id
                    WHERE c.id BETWEEN :from AND :to AND c.local = 1 AND c.container = 0 AND c.replaced_by IS NULL
                      AND c.acknowledged_at IS NULL AND p.id IS NULL";
        let (from, to) = rows::id_range(document);
        let params = named_params! {":from": from, ":to": to};
        let lost: i64 = self.connection.query_row(sql, params, |r| r.get(0))?;
        let deleted = self.document_row(id)?.tombstone.is_some();
        if lost > 0 && !deleted {
            report
                .problems
                .push(format!("{lost} changes of document {id} were made here and wait in no queue."));
        }
        Ok(())
    }
}

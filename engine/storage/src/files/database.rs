//! A database as files: what SQLite keeps beside it, and putting another one in its place.
//!
//! Closing a file takes this process's locks on it, SQLite's too. So none of this is for a database that this process has
//! open.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::Temporary;

/// What SQLite keeps beside a database and reads with it.
const LOGS: [&str; 2] = ["-wal", "-journal"];
/// The index of the write-ahead log. SQLite makes it again.
const INDEX: &str = "-shm";
/// How the name goes on under which a database that was replaced is kept.
const KEPT: &str = ".before-restore";
/// How many such names are tried.
const MOST_KEPT: u32 = 10_000;
/// Where the header of a database says with which kind of journal it is written: 1 for a rollback journal, 2 for a
/// write-ahead log (<https://sqlite.org/fileformat.html>).
const WRITE_VERSION: usize = 18;
/// How a database begins, and how a write-ahead log does, but for its last bit.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";
const LOG: u32 = 0x377f_0682;
/// The length of a log's header. A log with nothing after it holds nothing.
const LOG_HEADER: u64 = 32;

/// The file that SQLite keeps beside a database under this ending.
pub fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Where the database is whose name may be a link: beside it, not beside the link, SQLite keeps its log.
pub fn resolve(database: &Path) -> PathBuf {
    fs::canonicalize(database).unwrap_or_else(|_| database.to_owned())
}

/// The write-ahead log beside a database, where it holds something.
///
/// # Errors
/// What the system says.
pub fn find_log(database: &Path) -> io::Result<Option<PathBuf>> {
    let log = beside(&resolve(database), "-wal");
    match fs::metadata(&log) {
        Ok(there) if there.is_file() && there.len() > LOG_HEADER => Ok(Some(log)),
        Ok(_) => Ok(None),
        // Nothing lies beside what is no directory either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The write-ahead log beside a database that cannot be its own: the database was never written with one. It was left
/// there when the file was put in the place of another, and SQLite would read it into this one.
///
/// # Errors
/// What the system says.
pub fn find_foreign_log(database: &Path) -> io::Result<Option<PathBuf>> {
    let Some(log) = find_log(database)? else { return Ok(None) };
    let Some(header) = read_header::<20>(database)? else { return Ok(None) };
    let Some(begins) = read_header::<4>(&log)? else { return Ok(None) };
    let rollback = header.starts_with(DATABASE) && header.get(WRITE_VERSION) == Some(&1);
    Ok((rollback && u32::from_be_bytes(begins) & !1 == LOG).then_some(log))
}

/// The first bytes of a file; none where it is not there, is shorter or may not be read: whoever opens it tells that.
fn read_header<const N: usize>(path: &Path) -> io::Result<Option<[u8; N]>> {
    use io::ErrorKind::{NotFound, PermissionDenied, UnexpectedEof};
    let mut bytes = [0; N];
    match File::open(path).and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), UnexpectedEof | NotFound | PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A database that nobody else has open, for as long as this lives.
#[derive(Debug)]
pub struct Alone(#[allow(dead_code, reason = "it holds the lock")] Option<File>);

impl Alone {
    /// None where somebody has it open. Where there is no file there is nobody.
    ///
    /// # Errors
    /// What the system says.
    pub fn with(database: &Path) -> io::Result<Option<Self>> {
        let file = match File::options().read(true).write(true).open(database) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Self(None))),
            Err(error) => return Err(error),
        };
        Ok(lock(&file)?.then_some(Self(Some(file))))
    }
}

/// SQLite holds a lock on the file as long as it has it open with a write-ahead log: one on all of it meets that.
#[cfg(unix)]
fn lock(file: &File) -> io::Result<bool> {
    use rustix::{fs::FlockOperation, io::Errno};
    match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        // A file system without locks.
        Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// An open file can be neither moved nor replaced there: that fails by itself.
#[cfg(not(unix))]
fn lock(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Puts a whole database in the place of its target. The old one is kept beside it under another name, with its log,
/// and that name is returned: none where nothing was there. At every moment both, or what is left of the old one under
/// one of its names, are whole on the disk.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where somebody has the target open, and what the system says.
pub fn replace_database(new: Temporary) -> io::Result<Option<PathBuf>> {
    let target = new.target.clone();
    let Some(_alone) = Alone::with(&target)? else {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open"));
    };
    let kept = keep(&target)?;
    // Before the new one is there: no log may lie beside it that is not its own.
    for ending in LOGS {
        move_if_there(&beside(&target, ending), &beside(&kept, ending))?;
    }
    match fs::remove_file(beside(&target, INDEX)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    new.replace()?;
    Ok(fs::exists(&kept)?.then_some(kept))
}

/// Gives a file a second name that nothing has yet. Where there is no file the name alone is found.
fn keep(target: &Path) -> io::Result<PathBuf> {
    for nth in 1..=MOST_KEPT {
        let ending = if nth == 1 { KEPT.to_owned() } else { format!("{KEPT}-{nth}") };
        let kept = beside(target, &ending);
        let taken = |path: &Path| fs::symlink_metadata(path).is_ok();
        if taken(&kept) || LOGS.iter().any(|ending| taken(&beside(&kept, ending))) {
            continue;
        }
        match fs::hard_link(target, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A file system without links.
            Err(_) => return fs::rename(target, &kept).map(|()| kept),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "every name for the old file is taken"))
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_lay_beside_a_database_goes_with_it_and_never_with_the_new_one() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("a.db");
        for nth in 1..=2 {
            fs::write(&target, format!("old {nth}")).unwrap();
            fs::write(beside(&target, "-wal"), format!("log {nth}")).unwrap();
            fs::write(beside(&target, "-shm"), "index").unwrap();
            let mut new = Temporary::beside(&target).unwrap();
            new.file.write_all(b"new").unwrap();
            let kept = replace_database(new).unwrap().unwrap();
            let name = if nth == 1 { "a.db.before-restore" } else { "a.db.before-restore-2" };
            assert_eq!(kept, place.path().join(name));
            assert_eq!(fs::read_to_string(&kept).unwrap(), format!("old {nth}"));
            assert_eq!(fs::read_to_string(beside(&kept, "-wal")).unwrap(), format!("log {nth}"));
            assert_eq!(fs::read_to_string(&target).unwrap(), "new");
            assert!(!beside(&target, "-wal").exists() && !beside(&target, "-shm").exists());
        }
    }

    #[test]
    fn a_log_without_its_database_spoils_nothing() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("a.db");
        fs::write(beside(&target, "-wal"), "log").unwrap();
        let kept = replace_database(Temporary::beside(&target).unwrap()).unwrap();
        assert_eq!(kept, None);
        assert!(target.exists() && !beside(&target, "-wal").exists());
        assert!(place.path().join("a.db.before-restore-wal").exists());
    }

    #[test]
    fn a_log_beside_a_database_that_never_had_one_is_somebody_elses() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("a.db");
        let header = |version: u8| [&DATABASE[..], &[16, 0, version, version], &[0; 80]].concat();
        let log = [&LOG.to_be_bytes()[..], &[0; 60]].concat();
        let foreign = |version: u8, log: &[u8]| {
            fs::write(&target, header(version)).unwrap();
            fs::write(beside(&target, "-wal"), log).unwrap();
            find_foreign_log(&target).unwrap().is_some()
        };
        assert!(foreign(1, &log));
        assert!(!foreign(2, &log), "it may be its own");
        assert!(!foreign(1, &log[..32]), "it holds nothing");
        assert!(!foreign(1, &[7; 64]), "it is no log");
    }
}

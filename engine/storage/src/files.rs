//! Files that are written beside the store: whole or not at all, and for their owner's eyes alone.

mod database;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use database::{Alone, beside, find_foreign_log, find_log, replace_database, resolve};

/// How the names of temporary files end. Between the target's name and this stand 16 random hex digits.
const ENDING: &str = ".part";
/// A temporary file that was not written to for so long is left over from a process that died.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens a file that is not there yet, mode 0600. What is there, be it a link to elsewhere, is an error.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and what the system says.
pub fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens a file for reading and writing, made with mode 0600 where it is missing. A link is not followed.
///
/// # Errors
/// What the system says.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits();
        options.mode(0o600).custom_flags(no_link.cast_signed());
    }
    options.open(path)
}

/// A file beside its target, under a random name, until it takes the target's place. Dropped before, it is removed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    file: File,
    target: PathBuf,
}

impl Temporary {
    /// An empty one, which only its owner may read. What earlier processes left beside the target goes.
    ///
    /// # Errors
    /// What the system says.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        remove_stale(target, name);
        let mut own = name.to_owned();
        own.push(format!(".{:016x}{ENDING}", rand::random::<u64>()));
        let path = target.with_file_name(own);
        let file = create_new(&path)?;
        Ok(Self { path, file, target: target.to_owned() })
    }

    /// Where it is meanwhile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in the target's place, durably. A target that is there keeps its mode.
    ///
    /// # Errors
    /// What the system says; then the target is as it was.
    pub fn replace(self) -> io::Result<()> {
        if let Ok(there) = fs::metadata(&self.target)
            && there.is_file()
        {
            self.file.set_permissions(there.permissions())?;
        }
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.sync_directory();
        Ok(())
    }

    /// Puts it where nothing is yet, durably.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and what the system says; then there is no target, or it is as it was.
    pub fn create(self) -> io::Result<()> {
        self.file.sync_all()?;
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // A file system without links.
            Err(_) if !fs::exists(&self.target)? => fs::rename(&self.path, &self.target)?,
            Err(error) => return Err(error),
        }
        self.sync_directory();
        Ok(())
    }

    /// The name is durable too, where a directory can be flushed.
    fn sync_directory(&self) {
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced =
            File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
        if let Err(error) = synced {
            tracing::debug!(%error, "a directory was not flushed");
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After `replace` it is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file in one step: whoever reads it sees the old bytes or the new ones. A new one is its owner's alone
/// (mode 0600); one that is there keeps its mode.
///
/// # Errors
/// What the system says; then the file is as it was.
pub fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = Temporary::beside(target)?;
    temporary.file.write_all(bytes)?;
    temporary.replace()
}

/// Most symbolic links that lead from a name to its file.
const MOST_LINKS: usize = 40;

/// Writes a file that a person named, wherever symbolic links lead: as [`write()`] does, where a regular file or nothing is
/// at their end. Into anything else that is there (a FIFO, a device) it is written: nothing takes its place.
///
/// # Errors
/// What the system says; then a regular file is as it was.
pub fn deliver(target: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(target).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let mut there = OpenOptions::new().write(true).open(target)?;
        there.write_all(bytes)?;
        return there.flush();
    }
    write(&follow_links(target)?, bytes)
}

/// Where the links at a path lead, also to what is not there yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(to) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().map_or_else(|| to.clone(), |directory| directory.join(&to));
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Removes temporary files of this target that nobody writes any more.
fn remove_stale(target: &Path, name: &std::ffi::OsStr) {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(directory.unwrap_or(Path::new("."))) else { return };
    for entry in entries.flatten() {
        let stale = || -> Option<bool> {
            let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            SystemTime::now().duration_since(found.modified().ok()?).ok().map(|age| age > STALE)
        };
        if is_temporary_of(name, &entry.file_name()) && stale().unwrap_or(false) {
            tracing::debug!(file = %entry.path().display(), "a temporary file of an earlier process is removed");
            // Whoever may not remove it leaves it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary_of(name: &std::ffi::OsStr, found: &std::ffi::OsStr) -> bool {
    let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    let digits = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(ENDING.as_bytes()));
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_one_that_is_there_keeps_its_mode() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("export");
        write(&target, b"one").unwrap();
        assert_eq!((mode(&target), fs::read(&target).unwrap()), (0o600, b"one".to_vec()));
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        write(&target, b"two").unwrap();
        assert_eq!((mode(&target), fs::read(&target).unwrap()), (0o644, b"two".to_vec()));
        assert_eq!(names(place.path()), ["export"]);
    }

    #[test]
    fn nobody_may_read_it_while_it_is_written_nor_guess_its_name() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("export");
        let (a, b) = (Temporary::beside(&target).unwrap(), Temporary::beside(&target).unwrap());
        assert_ne!(a.path(), b.path());
        assert_eq!((mode(a.path()), a.path().parent()), (0o600, Some(place.path())));
        drop((a, b));
        assert_eq!(names(place.path()), Vec::<String>::new());
    }

    #[test]
    fn what_is_there_is_never_written_through() {
        let place = tempfile::tempdir().unwrap();
        let (elsewhere, link) = (place.path().join("elsewhere"), place.path().join("link"));
        fs::write(&elsewhere, "kept").unwrap();
        symlink(&elsewhere, &link).unwrap();
        assert_eq!(create_new(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(open_or_create(&link).is_err());
        assert!(open_or_create(&elsewhere).is_ok());
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"kept");
        let there = Temporary::beside(&elsewhere).unwrap().create();
        assert_eq!(there.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        Temporary::beside(&place.path().join("made")).unwrap().create().unwrap();
        assert_eq!(names(place.path()), ["elsewhere", "link", "made"]);
    }

    #[test]
    fn what_a_person_names_is_written_through_links_and_its_mode_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("away")).unwrap();
        fs::write(path("away/file"), "old").unwrap();
        fs::set_permissions(path("away/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("away/file", path("near")).unwrap();
        symlink(path("near"), path("link")).unwrap();
        deliver(&path("link"), b"new").unwrap();
        assert_eq!(
            (mode(&path("away/file")), fs::read(path("away/file")).unwrap()),
            (0o640, b"new".to_vec())
        );
        assert_eq!(fs::read_link(path("link")).unwrap(), path("near"));
        assert_eq!(names(&path("away")), ["file"]);
        // To what is not there yet, and round and round.
        symlink("away/fresh", path("dangling")).unwrap();
        deliver(&path("dangling"), b"fresh").unwrap();
        assert_eq!(fs::read(path("away/fresh")).unwrap(), b"fresh");
        symlink("round", path("round")).unwrap();
        assert!(deliver(&path("round"), b"x").is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_written_to_and_stays_what_it_is() {
        use std::os::unix::fs::FileTypeExt as _;
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let reading = {
            let fifo = fifo.clone();
            std::thread::spawn(move || fs::read(fifo).unwrap())
        };
        deliver(&fifo, b"through").unwrap();
        assert_eq!(reading.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
        assert_eq!(names(place.path()), ["fifo"]);
        assert!(deliver(place.path(), b"x").is_err(), "a directory");
    }

    #[test]
    fn what_a_process_that_died_left_behind_goes() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("export");
        let old = SystemTime::now() - STALE - Duration::from_secs(60);
        for (name, old) in [
            ("export.0123456789abcdef.part", Some(old)),
            ("export.fedcba9876543210.part", None),
            ("export.part", Some(old)),
            ("export.of-a-person-who-kept-it.part", Some(old)),
            ("other.0123456789abcdef.part", Some(old)),
        ] {
            let file = File::create(place.path().join(name)).unwrap();
            if let Some(old) = old {
                file.set_modified(old).unwrap();
            }
        }
        write(&target, b"x").unwrap();
        let left =
            ["export", "export.fedcba9876543210.part", "export.of-a-person-who-kept-it.part", "export.part"];
        assert_eq!(names(place.path()), [&left[..], &["other.0123456789abcdef.part"]].concat());
    }
}

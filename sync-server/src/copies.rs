//! `rejoin-server backup` and `rejoin-server restore`.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use crate::{
    Failure, advice,
    maintenance::{confirm, say},
};

pub(crate) fn back_up(database: &Path, file: &Path) -> Result<(), Failure> {
    rejoin_server::backup(database, file).map_err(|error| {
        let then =
            advice(&error).unwrap_or("Name a database with --database and a new file on a disk with room.");
        let (database, file) = (database.display(), file.display());
        Failure::Failed(format!("The database {database} could not be copied to {file}: {error}. {then}"))
    })
}

pub(crate) fn restore(database: &Path, file: &Path, yes: bool) -> Result<(), Failure> {
    if !file.is_file() {
        let file = file.display();
        return Err(Failure::Failed(format!("There is no file {file}. Name one that `backup` wrote.")));
    }
    // Where nobody can be asked it goes on: the old one is kept.
    if database.exists() && !yes && io::stdin().is_terminal() {
        ask(database, file)?;
    }
    let kept = rejoin_server::restore(database, file).map_err(|error| {
        let then = advice(&error).unwrap_or("Nothing was changed. Name a file that `backup` wrote.");
        let (database, file) = (database.display(), file.display());
        Failure::Failed(format!("The database {database} could not be restored from {file}: {error}. {then}"))
    })?;
    say(&format!("{} is as in {} now.", database.display(), file.display()))?;
    kept.map_or(Ok(()), |kept| {
        say(&format!("The old one is kept in {}: delete it when you miss nothing.", kept.display()))
    })
}

fn ask(database: &Path, file: &Path) -> Result<(), Failure> {
    let (database, file) = (database.display(), file.display());
    let question = format!("{database} is replaced by {file}, and kept beside it. Go on?");
    confirm(&question, "Nothing was changed. Answer y to go on.")
}

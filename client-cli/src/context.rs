//! What every command needs: the options, the streams, and the store.

use std::path::{Path, PathBuf};

use rejoin::{
    ChangeHash, DocumentId, DocumentInfo, HttpOptions, InvalidAddress, ServerAddress, Store, Token,
    verify::VerifyCommand,
};

use crate::cli::Globals;
use crate::error::{CliError, Result};
use crate::output::Output;
use crate::token;

/// What a command runs in.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) out: Output,
}

impl Context {
    pub(crate) fn new(globals: Globals, out: Output) -> Self {
        Self { globals, out }
    }

    /// Where the store is: `--store`, else `REJOIN_STORE`, else the platform's data directory.
    pub(crate) fn store_path(&self) -> Result<PathBuf> {
        if let Some(path) = self.globals.store.as_ref().filter(|p| !p.as_os_str().is_empty()) {
            return Ok(path.clone());
        }
        Self::usual_store_path().ok_or_else(|| {
            CliError::failed("this account has no data directory", "name the store's file with --store PATH")
        })
    }

    /// Where the store is when nobody says otherwise: in the platform's data directory.
    pub(crate) fn usual_store_path() -> Option<PathBuf> {
        directories::ProjectDirs::from("", "", "rejoin").map(|home| home.data_dir().join("rejoin.db"))
    }

    /// Makes the directory that the store is in.
    pub(crate) fn make_home(&self) -> Result<()> {
        let path = self.store_path()?;
        path.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), make_directory)
    }

    /// The store, made if missing. One that cannot be written is opened all the same: whoever only reads needs no more.
    pub(crate) async fn open(&self) -> Result<Store> {
        let path = self.store_path()?;
        self.make_home()?;
        let store = Store::builder(&path).or_read_only();
        let command = VerifyCommand::of_this_program([crate::VERIFY_CHILD]);
        Ok(match command {
            Ok(command) => store.verify_command(command).open().await?,
            // A system that does not say which program this is: what arrives is tried here.
            Err(_) => store.open().await?,
        })
    }

    /// The store and the document that DOC names.
    pub(crate) async fn open_document(&self, doc: &str) -> Result<(Store, DocumentId)> {
        let store = self.open().await?;
        let id = store.find(doc).await?;
        Ok((store, id))
    }

    /// The server that a document syncs with, or the store's, where `--server` names no other.
    pub(crate) async fn server_of(
        &self,
        store: &Store,
        document: Option<&DocumentInfo>,
    ) -> Result<Option<String>> {
        if let Some(server) = self.globals.server() {
            return Ok(Some(check_server(server)?));
        }
        if let Some(server) = document.and_then(|d| d.server.clone()) {
            return Ok(Some(server));
        }
        Ok(store.settings().await?.server)
    }

    /// How servers are spoken to: as was typed, else as was saved.
    pub(crate) async fn http(&self, store: &Store) -> Result<HttpOptions> {
        let mut http = HttpOptions::default().allow_http(self.globals.allow_http);
        if let Some(path) = self.globals.ca_cert() {
            http = http.ca_file(path)?;
        }
        Ok(store.http_options(http).await?)
    }

    /// The tokens that a sync may show, each with the server it is for. One that was typed is for the server of
    /// this run; one that was saved is for the server it was saved for, and for no other.
    pub(crate) async fn tokens(&self, store: &Store) -> Result<Vec<(String, Token)>> {
        let mut servers: Vec<String> = self.server_of(store, None).await?.into_iter().collect();
        if servers.is_empty() {
            // Joined by an address, and nothing saved: there can be one server only that is meant.
            servers.extend(store.documents().await?.into_iter().filter_map(|d| d.server.or(d.home)));
            servers.sort();
            servers.dedup();
            servers.truncate(if servers.len() == 1 { 1 } else { 0 });
        }
        let mut tokens = Vec::new();
        for server in servers {
            if let Some(token) = self.token_for(&server)? {
                tokens.push((server, token));
            }
        }
        Ok(tokens)
    }

    /// The token to show this server, if any.
    pub(crate) fn token_for(&self, server: &str) -> Result<Option<Token>> {
        match self.globals.token() {
            Some("-") => Err(CliError::usage(
                "only `rejoin init` reads a token from standard input",
                "save it with `rejoin init --token -`, or set REJOIN_TOKEN",
            )),
            Some(token) => token::parse(token).map(Some),
            None => token::load(&self.store_path()?, server)?.as_deref().map(token::parse).transpose(),
        }
    }

    /// Goes on only with a yes: `--yes`, or an answer on the terminal.
    pub(crate) fn confirm(&mut self, yes: bool, what_goes: &str, question: &str) -> Result<()> {
        if yes {
            return Ok(());
        }
        match self.out.ask(&format!("{what_goes}. {question}"))? {
            Some(true) => Ok(()),
            Some(false) => Err(CliError::failed("nothing was changed", "answer y, or say --yes, to go on")),
            None => Err(CliError::usage(what_goes, "say --yes if that is meant; nothing was changed")),
        }
    }
}

#[cfg(unix)]
fn make_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    made(path, builder.recursive(true).create(path))
}

#[cfg(not(unix))]
fn make_directory(path: &Path) -> Result<()> {
    made(path, std::fs::create_dir_all(path))
}

fn made(path: &Path, result: std::io::Result<()>) -> Result<()> {
    result.map_err(|e| CliError::io(format!("the directory {} could not be made", path.display()), e))
}

/// A server's base address, without a slash at its end: http or https, a host, and no password in it.
pub(crate) fn check_server(url: &str) -> Result<String> {
    url.parse().map(ServerAddress::into).map_err(|why| match why {
        // The address itself is not repeated: it holds a password.
        InvalidAddress::Credentials => CliError::usage(
            "a server's address has no user or password in it",
            "give the address alone, and the token with `rejoin init --token -`",
        ),
        _ => rejoin::Error::InvalidServer(url.to_owned()).into(),
    })
}

/// The heads that a comma-separated list of hashes, or of prefixes of hashes, names.
pub(crate) async fn resolve_heads(
    store: &Store,
    id: DocumentId,
    names: &[String],
) -> Result<Vec<ChangeHash>> {
    let mut heads = Vec::with_capacity(names.len());
    for name in names {
        heads.push(store.resolve_hash(id, name).await?);
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        assert!(!check_server("http://ada:secret@a").unwrap_err().to_string().contains("secret"));
    }
}

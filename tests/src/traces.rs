//! Real people typing: the traces of josephg/editing-traces, as gzipped JSON.

use std::{fs::File, io::Read, path::Path};

use serde::Deserialize;

/// One edit: position, how many code points to delete, what to insert.
pub type Patch = (usize, usize, String);

/// A session of typing. Positions are Unicode code points.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The text before the first edit.
    #[serde(default)]
    pub start_content: String,
    /// The text after the last.
    pub end_content: String,
    /// The edits.
    pub txns: Vec<Txn>,
}

/// Edits that one person made one after another.
#[derive(Debug, Deserialize)]
pub struct Txn {
    /// In a trace of several people: the transactions that the typist had seen, and with them all before those.
    #[serde(default)]
    pub parents: Vec<usize>,
    /// Who typed.
    #[serde(default)]
    pub agent: usize,
    /// What, in order.
    pub patches: Vec<Patch>,
}

impl Trace {
    /// Reads `NAME.json.gz` in this directory.
    pub fn read(dir: &Path, name: &str) -> Self {
        let path = dir.join(format!("{name}.json.gz"));
        let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the trace is gzipped text");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// All edits in order: for a trace of one person.
    pub fn patches(&self) -> impl Iterator<Item = &Patch> {
        self.txns.iter().flat_map(|txn| &txn.patches)
    }
}

/// An edit as a line for `rejoin apply`, on the text at this path.
pub fn splice_line(path: &str, (pos, delete, insert): &Patch) -> String {
    let action =
        serde_json::json!({"type": "splice", "path": path, "pos": pos, "delete": delete, "insert": insert});
    format!("{action}\n")
}

//! The unit for systemd's user manager.

use std::fmt::Write as _;

use super::job::Job;

/// The unit's text. The `:` before the program keeps `$` in paths from being taken for a variable; `%` is doubled, for it
/// begins a specifier (systemd.service(5), systemd.syntax(7)).
pub(super) fn unit(job: &Job) -> String {
    let words: Vec<String> = command(job).iter().map(|word| quoted(word)).collect();
    format!(
        "# Made by `rejoin service install`; `rejoin service uninstall` removes it.\n\
         [Unit]\n\
         Description=rejoin keeps {store} in step\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart=:{words}\n\
         # Wrong usage does not become right by itself.\n\
         RestartPreventExitStatus=2\n\
         Restart=always\n\
         RestartSec=10\n\
         TimeoutStopSec=20\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        store = described(&job.store),
        words = words.join(" "),
    )
}

/// The program and its words. systemd takes no program with quotation marks or backslashes in its path: a shell starts it.
fn command(job: &Job) -> Vec<&str> {
    let odd = job.program.contains(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_control());
    let shell: &[&str] = if odd { &["/bin/sh", "-c", "exec \"$0\" \"$@\""] } else { &[] };
    let words = std::iter::once(&job.program).chain(&job.words).map(String::as_str);
    shell.iter().copied().chain(words).collect()
}

/// A word in double quotes, with escapes as in C.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_ascii_control() => {
                // Writing to a string does not fail.
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A text to the line's end.
fn described(text: &str) -> String {
    crate::format::printable(text).replace('\\', "\\\\").replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::super::job::sample;
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let job = sample("/opt/my tools/rejoin", "/home/ada/100% $HOME \"mine\" \\ a'b/x.db");
        let unit = unit(&job);
        let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert_eq!(
            line,
            "ExecStart=:\"/opt/my tools/rejoin\" \"--store\" \
             \"/home/ada/100%% $HOME \\\"mine\\\" \\\\ a'b/x.db\" \"sync\" \"--watch\" \"--quiet\""
        );
        assert_eq!(quoted("a\nb\u{1}"), "\"a\\nb\\x01\"");
    }
}

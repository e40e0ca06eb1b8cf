//! The scheduled task for Windows (Task Scheduler's schema 1.2).

use super::job::Job;
use super::launchd::escaped;

/// The task as XML. It begins when its person logs in, again every few minutes where it ended, and never twice.
pub(super) fn task(job: &Job) -> String {
    let words: Vec<String> = job.words.iter().map(|word| quoted(word)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n  \
         <RegistrationInfo><Description>rejoin keeps {store} in step</Description></RegistrationInfo>\n  \
         <Triggers><LogonTrigger><Repetition><Interval>PT5M</Interval></Repetition><Enabled>true</Enabled></LogonTrigger></Triggers>\n  \
         <Settings>\n    \
         <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n    \
         <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n    \
         <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n    \
         <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n    \
         <Hidden>true</Hidden>\n  \
         </Settings>\n  \
         <Actions><Exec><Command>{program}</Command><Arguments>{words}</Arguments></Exec></Actions>\n\
         </Task>\n",
        store = escaped(&job.store),
        program = escaped(&format!("\"{}\"", job.program)),
        words = escaped(&words.join(" ")),
    )
}

/// The task's file: UTF-16 with its mark, as `schtasks` reads it.
pub(super) fn bytes(job: &Job) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(task(job).encode_utf16().collect::<Vec<_>>());
    units.flat_map(u16::to_le_bytes).collect()
}

/// A word as Windows programs take their command lines apart: backslashes count before a quotation mark alone.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    let mut slashes = 0;
    for c in word.chars() {
        match c {
            '\\' => slashes += 1,
            '"' => text.push_str(&"\\".repeat(slashes + 1)),
            _ => slashes = 0,
        }
        if c == '"' {
            slashes = 0;
        }
        text.push(c);
    }
    text.push_str(&"\\".repeat(slashes));
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::super::job::sample;
    use super::*;

    #[test]
    fn the_task_is_xml_with_every_word_as_it_is() {
        let job = sample(r"C:\My Tools\rejoin.exe", r"C:\Users\ada\R&D\x.db");
        let text = task(&job);
        let document = roxmltree::Document::parse(&text).unwrap();
        let find = |name: &str| {
            document.descendants().find(|node| node.has_tag_name((NAMESPACE, name))).unwrap().text().unwrap()
        };
        assert_eq!(find("Command"), r#""C:\My Tools\rejoin.exe""#);
        assert_eq!(find("Arguments"), r#""--store" "C:\Users\ada\R&D\x.db" "sync" "--watch" "--quiet""#);
        assert_eq!(quoted(r#"a\"b\"#), r#""a\\\"b\\""#);
        let bytes = bytes(&job);
        assert_eq!(bytes.get(..4), Some(&[0xff, 0xfe, b'<', 0][..]));
    }

    const NAMESPACE: &str = "http://schemas.microsoft.com/windows/2004/02/mit/task";
}

//! The launch agent for macOS (launchd.plist(5)).

use super::job::Job;

/// The agent's label: its name in launchd.
pub(super) fn label(job: &Job) -> String {
    format!("org.rejoin.{}", job.name)
}

/// The property list.
pub(super) fn plist(job: &Job) -> String {
    let words = std::iter::once(&job.program).chain(&job.words);
    let words: Vec<String> = words.map(|w| format!("        <string>{}</string>\n", escaped(w))).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n    \
         <key>Label</key>\n    <string>{label}</string>\n    \
         <key>ProgramArguments</key>\n    <array>\n{words}    </array>\n    \
         <key>RunAtLoad</key>\n    <true/>\n    \
         <key>KeepAlive</key>\n    <true/>\n    \
         <key>ThrottleInterval</key>\n    <integer>10</integer>\n    \
         <key>ProcessType</key>\n    <string>Background</string>\n    \
         <key>Umask</key>\n    <integer>63</integer>\n\
         </dict>\n</plist>\n",
        label = escaped(&label(job)),
        words = words.concat(),
    )
}

/// A text in XML. What XML cannot bear at all, control characters, has no place in a path that is typed.
pub(super) fn escaped(text: &str) -> String {
    let bears = |c: &char| !c.is_control() || matches!(c, '\t' | '\n');
    let text: String = text.chars().filter(bears).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::job::sample;
    use super::*;

    #[test]
    fn the_launch_agent_is_a_property_list_with_every_word_as_it_is() {
        let job = sample("/Applications/My Tools/rejoin", "/Users/ada/<R&D> \"100%\"/x.db");
        let text = plist(&job);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&text, options).unwrap();
        let dict = document.root_element().first_element_child().unwrap();
        assert_eq!((document.root_element().tag_name().name(), dict.tag_name().name()), ("plist", "dict"));
        // A dictionary is keys and values by turns.
        let parts: Vec<_> = dict.children().filter(roxmltree::Node::is_element).collect();
        assert!(parts.len().is_multiple_of(2));
        for pair in parts.chunks(2) {
            assert_eq!(pair[0].tag_name().name(), "key");
            let kind = pair[1].tag_name().name();
            assert!(["string", "array", "true", "integer"].contains(&kind), "{kind}");
        }
        let array = parts.iter().find(|part| part.tag_name().name() == "array").unwrap();
        let strings = array.children().filter(roxmltree::Node::is_element);
        let words: Vec<&str> = strings.map(|s| s.text().unwrap()).collect();
        let mut expected = vec![job.program.as_str()];
        expected.extend(job.words.iter().map(String::as_str));
        assert_eq!(words, expected);
    }
}

//! The report as a person reads it: a table on a terminal, plain lines in a pipe.

use std::fmt::Write as _;

use owo_colors::OwoColorize as _;
use planner::names;

use super::report::{Check, Diagnosis, State, counts};

/// Room for the name of a check, with what keeps it from the details.
const NAME_WIDTH: usize = 18;
/// Where names begin: four blanks, sign, blank.
const INDENT: usize = 6;
/// Narrower terminals are written to as if they were so wide.
const NARROWEST: usize = 60;

/// All of it. `width` is the terminal's, `None` where lines may be as long as they are. Colours are in it; who prints
/// it takes them out where they are not wanted.
pub(crate) fn render(diagnoses: &[Diagnosis], width: Option<usize>) -> String {
    let mut text = String::new();
    for diagnosis in diagnoses {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{} ({})", shown(&diagnosis.offering).bold(), shown(&diagnosis.uuid));
        for section in &diagnosis.sections {
            let _ = writeln!(text, "\n  {}", shown(&section.title).underline());
            for check in &section.checks {
                line(&mut text, check, width);
            }
        }
        text.push('\n');
    }
    let (good, warnings, failed) = counts(diagnoses);
    let verdict = format!("{good} good, {warnings} to look at, {failed} failed");
    let _ = match (failed, warnings) {
        (0, 0) => writeln!(text, "{}", verdict.green().bold()),
        (0, _) => writeln!(text, "{}", verdict.yellow().bold()),
        _ => writeln!(text, "{}", verdict.red().bold()),
    };
    text
}

fn line(text: &mut String, check: &Check, width: Option<usize>) {
    let sign = match check.state {
        State::Good => "✓".green().to_string(),
        State::Warning => "!".yellow().bold().to_string(),
        State::Failed => "✗".red().bold().to_string(),
        State::NotTried => "–".dimmed().to_string(),
    };
    let name = shown(&check.name);
    let gap = " ".repeat(NAME_WIDTH.saturating_sub(name.chars().count()).max(1));
    let start = INDENT + NAME_WIDTH;
    let detail = wrapped(&shown(&check.detail), width, start);
    let _ = writeln!(text, "    {sign} {name}{gap}{detail}");
    if let Some(step) = &check.next_step {
        let step = wrapped(&shown(step), width, start + 2);
        let _ = writeln!(text, "{}{} {step}", " ".repeat(start), "→".bold());
    }
}

/// A text with nothing in it that a terminal would obey: names come from customers.
fn shown(text: &str) -> String {
    let formatting = |c: &char| matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    names::one_line(&text.chars().filter(|c| !formatting(c)).collect::<String>())
}

/// Lines of whole words; those after the first begin at `start`.
fn wrapped(text: &str, width: Option<usize>, start: usize) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let room = width.max(NARROWEST) - start - 1;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else {
            break;
        };
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::report::Section;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_terminal_obeys_nothing_of_what_a_customer_wrote() {
        let checks =
            vec![Check::failed("user\u{1b}]0;x\u{7}", "a\u{1b}[2Jb\r\nc\u{9b}31m\u{202e}d", "do\tit")];
        let sections = vec![Section { title: "T\u{1b}[31m".to_owned(), checks }];
        let diagnosis = Diagnosis { offering: "O\u{0}\n".to_owned(), uuid: "u".to_owned(), sections };
        let own = render(&[diagnosis], None);
        // What is left when the colours of the table are taken out has no control characters.
        let text = plain(&own);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}') && text.contains("a [2Jb c 31md"), "{text:?}");
    }

    #[test]
    fn long_texts_are_wrapped_on_a_terminal_only() {
        let text = "one two three four five six seven eight nine ten eleven twelve";
        assert_eq!(wrapped(text, None, 20), text);
        let wrapped = wrapped(text, Some(60), 20);
        assert!(wrapped.lines().all(|line| line.trim().chars().count() < 40), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>().join(" "), text);
    }
}

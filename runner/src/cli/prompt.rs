//! The question at the terminal: whether a run goes on past a block or input step, and with which values.

use crate::plan::{Gate, GateField};
use crate::report::text::{label, plain};
use crate::run;
use indexmap::IndexMap;
use std::io::{BufRead, Write};
use tokio::sync::mpsc;

/// Lines typed at the terminal. One thread reads them for the whole program: a question that is given up leaves nobody
/// behind who takes the answer to the next one.
pub(super) struct Typed(mpsc::UnboundedReceiver<String>);

impl Typed {
    /// What is typed from now on.
    pub(super) fn stdin() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Asks, and takes the line that follows; nothing when there is no further one.
    async fn ask(&mut self, question: &str, to: &mut impl Write) -> Option<String> {
        write!(to, "{question} ").ok()?;
        to.flush().ok()?;
        self.0.recv().await
    }

    /// What was typed before a question is no answer to it.
    fn forget(&mut self) {
        while self.0.try_recv().is_ok() {}
    }
}

/// The fields' values when the person says yes; nothing when the step stays blocked.
pub(super) async fn ask_person(
    title: &str,
    gate: &Gate,
    typed: &mut Typed,
    mut to: impl Write,
) -> Option<IndexMap<String, String>> {
    typed.forget();
    question(title, gate, typed, &mut to).await
}

async fn question(
    title: &str,
    gate: &Gate,
    typed: &mut Typed,
    to: &mut impl Write,
) -> Option<IndexMap<String, String>> {
    for line in gate.prompt.lines() {
        writeln!(to, "{}", plain(line)).ok()?;
    }
    let yes = typed.ask(&format!("{} Continue? [y/N]", label(title)), to).await?;
    if !matches!(yes.trim(), "y" | "Y" | "yes") {
        return None;
    }
    let mut values = IndexMap::new();
    for field in &gate.fields {
        describe(field, to).ok()?;
        loop {
            let line = typed.ask(&wanted(field), to).await?;
            let mut given = IndexMap::new();
            if !line.trim().is_empty() {
                given.insert(field.key.clone(), meant(field, &line));
            }
            let only = Gate { fields: vec![field.clone()], ..Gate::default() };
            match run::answer(&only, &given) {
                Ok(value) => {
                    values.extend(value);
                    break;
                }
                Err(problems) => writeln!(to, "  {}", plain(&problems.join("; "))).ok()?,
            }
        }
    }
    Some(values)
}

/// More about a field, and what there is to choose from.
fn describe(field: &GateField, to: &mut impl Write) -> std::io::Result<()> {
    if !field.hint.is_empty() {
        writeln!(to, "  {}", plain(&field.hint))?;
    }
    for option in &field.options {
        match field.labels.get(option) {
            Some(label) => writeln!(to, "  - {}: {}", plain(option), plain(label))?,
            None => writeln!(to, "  - {}", plain(option))?,
        }
    }
    Ok(())
}

/// What is asked for in one line.
fn wanted(field: &GateField) -> String {
    let name = if field.label.is_empty() { plain(&field.key) } else { plain(&field.label) };
    let several = if field.multiple { " (several with commas between them)" } else { "" };
    let default = match &field.default {
        Some(default) => format!(" [{}]", plain(&default.replace('\n', ", "))),
        None if field.required => String::new(),
        None => " [nothing]".to_owned(),
    };
    format!("{name}{several}{default}:")
}

/// The value that was typed: choices by value or by label, several of them with commas between.
fn meant(field: &GateField, line: &str) -> String {
    if field.options.is_empty() {
        return line.to_owned();
    }
    let value = |choice: &str| -> String {
        let choice = choice.trim();
        let known = field.options.iter().any(|option| option == choice);
        let labelled = field.labels.iter().find(|(_, label)| *label == choice).filter(|_| !known);
        labelled.map_or(choice, |(value, _)| value).to_owned()
    };
    if !field.multiple {
        return value(line);
    }
    let chosen = line.split(',').map(value).filter(|choice| !choice.is_empty());
    chosen.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn field(key: &str, label: &str) -> GateField {
        GateField {
            key: key.to_owned(),
            label: label.to_owned(),
            hint: String::new(),
            required: true,
            default: None,
            format: None,
            options: Vec::new(),
            labels: IndexMap::new(),
            multiple: false,
        }
    }

    fn gate() -> Gate {
        let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let labels = |items: &[(&str, &str)]| {
            items.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect()
        };
        Gate {
            prompt: "Has somebody\n\u{1b}[2Jlooked at it?".to_owned(),
            fields: vec![
                GateField {
                    hint: "As in the change log".to_owned(),
                    format: Some("v[0-9]+".to_owned()),
                    ..field("version", "Version")
                },
                GateField {
                    options: strings(&["eu", "us", "ap"]),
                    labels: labels(&[("eu", "Europe"), ("us", "America")]),
                    multiple: true,
                    default: Some("eu".to_owned()),
                    ..field("regions", "Regions")
                },
                GateField { required: false, ..field("note", "Note") },
            ],
            ..Gate::default()
        }
    }

    /// What is asked when this is typed, and what comes of it.
    async fn asked(lines: &[&str]) -> (String, Option<Vec<(String, String)>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        for line in lines {
            sender.send((*line).to_owned()).unwrap();
        }
        drop(sender);
        let mut said = Vec::new();
        let values = question(":rocket: Release?", &gate(), &mut Typed(receiver), &mut said).await;
        (String::from_utf8(said).unwrap(), values.map(|values| values.into_iter().collect()))
    }

    #[tokio::test]
    async fn each_field_is_checked_at_once_and_asked_again() {
        let (said, values) = asked(&["y", "", "1", "v1", "Europe, mars", "America, ap", ""]).await;
        expect![[r"
            Has somebody
            looked at it?
            Release? Continue? [y/N]   As in the change log
            Version:   the field `version` (Version) must be filled in
            Version:   `1` is no value for `version`; expected it to match v[0-9]+
            Version:   - eu: Europe
              - us: America
              - ap
            Regions (several with commas between them) [eu]:   `mars` is no choice for `regions`; the choices are: eu, us, ap
            Regions (several with commas between them) [eu]: Note [nothing]: "]]
        .assert_eq(&said);
        let expected = [("version", "v1"), ("regions", "us\nap"), ("note", "")];
        assert_eq!(values.unwrap(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn only_a_yes_and_all_fields_let_it_go_on() {
        for lines in [&[][..], &["n"], &[""], &["yesterday"], &["y"], &["y", "v1"], &["y", "v1", "eu"]] {
            assert_eq!(asked(lines).await.1, None, "{lines:?}");
        }
        assert!(asked(&["yes", "v1", "", ""]).await.1.is_some());
    }

    #[tokio::test]
    async fn what_was_typed_before_the_question_is_no_answer() {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send("y".to_owned()).unwrap();
        let mut typed = Typed(receiver);
        typed.forget();
        sender.send("n".to_owned()).unwrap();
        assert_eq!(question("Go?", &Gate::default(), &mut typed, &mut Vec::new()).await, None);
    }
}

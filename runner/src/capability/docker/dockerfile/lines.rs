//! From the text of a Dockerfile to instructions, and from an instruction to flags and words.

/// What is wrong, and where.
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) text: String,
}

/// One instruction, continued lines joined.
pub(super) struct Instruction {
    pub(super) line: usize,
    /// In lower case.
    pub(super) name: String,
    pub(super) rest: String,
}

/// The engine's own white space, which is ASCII.
pub(super) fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// The instructions of a Dockerfile; `indented_comments` says which of two readings of them is wanted.
pub(super) fn instructions(text: &str, indented_comments: bool) -> Result<Vec<Instruction>, Problem> {
    let mut instructions = Vec::new();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    while let Some((first, line)) = lines.next() {
        let first = first.trim_start();
        if let Some(comment) = first.strip_prefix('#') {
            directive(comment, line, instructions.is_empty())?;
            continue;
        }
        let (mut whole, mut goes_on) = continued(first, line)?;
        while goes_on {
            let Some((next, number)) = lines.next() else { break };
            let comment = if indented_comments { next.trim_start() } else { next }.starts_with('#');
            if comment || next.trim().is_empty() {
                continue;
            }
            let part;
            (part, goes_on) = continued(next, number)?;
            whole.push_str(&part);
        }
        let whole = whole.trim();
        if whole.is_empty() {
            continue;
        }
        let (name, rest) = whole.split_once(is_blank).unwrap_or((whole, ""));
        instructions.push(Instruction { line, name: name.to_lowercase(), rest: rest.trim().to_owned() });
    }
    Ok(instructions)
}

/// The line without the backslash that continues it, and whether there was one.
fn continued(line: &str, number: usize) -> Result<(String, bool), Problem> {
    let Some(rest) = line.trim_end_matches([' ', '\t']).strip_suffix('\\') else { return Ok((line.to_owned(), false)) };
    if rest.ends_with('\\') {
        let text = "two backslashes at the end of a line mean different things to different engines; end it otherwise";
        return Err(Problem { line: number, text: text.to_owned() });
    }
    Ok((rest.to_owned(), true))
}

fn directive(comment: &str, line: usize, at_the_top: bool) -> Result<(), Problem> {
    let Some((name, value)) = comment.split_once('=') else { return Ok(()) };
    let text = match name.trim().to_lowercase().as_str() {
        "syntax" if at_the_top => {
            "`# syntax=` has the build run a program from a registry; remove the line: the engine's own builder is used"
        }
        "escape" if at_the_top && value.trim() != "\\" => {
            "only `\\` is supported as the escape character; remove the line"
        }
        _ => return Ok(()),
    };
    Err(Problem { line, text: text.to_owned() })
}

/// Name and value of a flag.
pub(super) type Flag<'a> = (&'a str, Option<&'a str>);

/// The flags in front of an instruction's arguments. The engine takes quotes and backslashes in them away; nobody needs
/// them there.
pub(super) fn flags<'a>(name: &str, rest: &'a str) -> Result<(Vec<Flag<'a>>, &'a str), String> {
    let mut flags = Vec::new();
    let mut rest = rest;
    while let Some(begun) = rest.strip_prefix("--") {
        let end = begun.find(is_blank).unwrap_or(begun.len());
        let (flag, after) = begun.split_at(end);
        rest = after.trim_start_matches(is_blank);
        if !flag.bytes().all(|byte| byte.is_ascii_graphic()) || flag.contains(['"', '\'', '\\', '`', '$']) {
            return Err(format!(
                "`{} --{}` cannot be checked; write flags without quotes, backslashes and variables",
                name.to_uppercase(),
                flag.escape_debug()
            ));
        }
        if flag.is_empty() {
            break;
        }
        flags.push(match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (flag, None),
        });
    }
    Ok((flags, rest))
}

/// Refuses here-documents: to an engine that knows them the lines that follow are text, to another they are instructions.
pub(super) fn heredoc(rest: &str) -> Result<(), String> {
    let begins = |word: &str| {
        let word = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
        word.strip_prefix("<<").is_some_and(|end| !end.starts_with('<') && !end.trim_start_matches('-').is_empty())
    };
    match rest.split_whitespace().find(|word| begins(word)) {
        Some(word) => Err(format!(
            "`{word}` begins a here-document, which the engine's own builder does not know; use a script file"
        )),
        None => Ok(()),
    }
}

/// Words separated by blanks; quotes are kept, and blanks within them too.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for letter in text.chars() {
        match quote {
            None if is_blank(letter) => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            Some(open) if open == letter => quote = None,
            _ => {}
        }
        word.push(letter);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The value of a word that is plain, or plain within one pair of quotes.
pub(super) fn literal(word: &str) -> Option<String> {
    let inner = ['"', '\''].iter().find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(word);
    (!inner.contains(['"', '\'', '\\', '`', '$'])).then(|| inner.to_owned())
}

//! All forms of all known values as one automaton, which looks at every byte once.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::{contiguous, noncontiguous};
use aho_corasick::{Anchored, BuildError, MatchError, MatchKind, StartKind, dfa};
use std::collections::{BTreeSet, HashMap};

/// Where a stream stands.
pub(super) type State = StateID;

/// Finds every form, in bytes that come in pieces.
#[derive(Debug)]
pub(super) struct Patterns {
    kind: Kind,
    /// How many of the last bytes are the beginning of a form, by state.
    depths: HashMap<StateID, usize>,
    start: StateID,
}

#[derive(Debug)]
enum Kind {
    /// The fastest, and 100 to 1000 bytes for each byte of the forms.
    Table(dfa::DFA),
    /// Several times slower, and smaller by as much.
    Links(contiguous::NFA),
}

/// Bytes of forms up to which the table is not too large: it then has some 30 MiB.
const MAX_TABLE: usize = 64 << 10;

impl Patterns {
    /// The automaton of these forms, which have this size together.
    ///
    /// # Errors
    /// When there is too much for it, as the library says it.
    pub(super) fn new(forms: &BTreeSet<&[u8]>, size: usize) -> Result<Self, String> {
        let fault = |error: BuildError| error.to_string();
        // Overlapping forms are told by the standard kind only.
        let mut builder = noncontiguous::NFA::builder();
        let nfa = builder.match_kind(MatchKind::Standard).prefilter(false).build(forms).map_err(fault)?;
        if size <= MAX_TABLE {
            let table = dfa::DFA::builder().start_kind(StartKind::Unanchored).build_from_noncontiguous(&nfa);
            let table = table.map_err(fault)?;
            let (start, depths) = depths(&table, forms).map_err(|error| error.to_string())?;
            return Ok(Self { kind: Kind::Table(table), depths, start });
        }
        let links = contiguous::NFA::builder().build_from_noncontiguous(&nfa).map_err(fault)?;
        let (start, depths) = depths(&links, forms).map_err(|error| error.to_string())?;
        Ok(Self { kind: Kind::Links(links), depths, start })
    }

    /// The state before the first byte.
    pub(super) fn start(&self) -> State {
        self.start
    }

    /// How many of the last bytes may be the beginning of a form.
    pub(super) fn depth(&self, state: State) -> usize {
        self.depths.get(&state).copied().unwrap_or_default()
    }

    /// Goes on over bytes. `found` is told of the longest form that ends after so many of them, and its length.
    pub(super) fn walk(&self, state: State, bytes: &[u8], found: impl FnMut(usize, usize)) -> State {
        match &self.kind {
            Kind::Table(automaton) => walk(automaton, state, bytes, found),
            Kind::Links(automaton) => walk(automaton, state, bytes, found),
        }
    }
}

fn walk(automaton: &impl Automaton, mut state: State, bytes: &[u8], mut found: impl FnMut(usize, usize)) -> State {
    for (at, byte) in bytes.iter().enumerate() {
        state = automaton.next_state(Anchored::No, state, *byte);
        if automaton.is_special(state) && automaton.is_match(state) {
            let lengths = (0..automaton.match_len(state)).map(|index| automaton.match_pattern(state, index));
            if let Some(longest) = lengths.map(|pattern| automaton.pattern_len(pattern)).max() {
                found(at + 1, longest);
            }
        }
    }
    state
}

/// The state before the first byte, and how deep each is: after the first bytes of a form the automaton is in the
/// state of exactly these.
fn depths(
    automaton: &impl Automaton,
    forms: &BTreeSet<&[u8]>,
) -> Result<(StateID, HashMap<StateID, usize>), MatchError> {
    let start = automaton.start_state(Anchored::No)?;
    let mut depths = HashMap::new();
    for form in forms {
        let mut state = start;
        for (before, byte) in form.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            depths.insert(state, before + 1);
        }
    }
    Ok((start, depths))
}

//! Reads rows and takes nothing for right that is not: checksums, digests, and no gaps.

use super::schema::{event_checksum, run_checksum};
use crate::event::{Event, EventKind};
use crate::log::{RunRecord, plan_digest};
use crate::plan::Plan;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Something of a run that is not as it was written.
#[derive(Debug)]
pub(super) struct Damage {
    /// The run's number.
    number: i64,
    /// What is wrong, in which run.
    pub(super) what: String,
    /// Events before the damage.
    events: u64,
}

impl Damage {
    fn new(number: i64, events: u64, what: impl std::fmt::Display) -> Self {
        Self { number, what: format!("{what} of run {number}"), events }
    }

    /// What is not damaged.
    pub(super) fn whole(&self, connection: &Connection) -> String {
        let others = others(connection, self.number);
        let others = match others.as_deref() {
            Ok([]) => "all other runs are whole".to_owned(),
            Ok(damaged) => {
                let damaged: Vec<_> = damaged.iter().map(ToString::to_string).collect();
                format!("damaged as well: {}; all other runs are whole", damaged.join(", "))
            }
            Err(_) => "other runs are damaged as well".to_owned(),
        };
        match self.events {
            0 => others,
            1 => format!("event 1 of it is whole; {others}"),
            events => format!("events 1 to {events} of it are whole; {others}"),
        }
    }
}

/// Damage that is not one run's.
pub(super) fn damage(what: String) -> Damage {
    Damage { number: 0, what, events: 0 }
}

/// Numbers of other runs that are damaged.
fn others(connection: &Connection, number: i64) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare("SELECT run FROM tips WHERE run != ?1 ORDER BY run")?;
    let numbers = select.query_map([number], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let is_damaged = |number: &i64| {
        let whole = record(connection, *number)
            .and_then(|record| events(connection, *number, &record.id, 0))
            .and_then(|_| plan(connection, *number));
        whole.is_err()
    };
    Ok(numbers.into_iter().filter(is_damaged).collect())
}

/// What `SQLite` itself finds wrong with the file; nothing when it is whole.
pub(super) fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines = check.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Whether the tables agree on how many runs there are.
pub(super) fn count_runs(connection: &Connection) -> Result<(), Damage> {
    let mut count = connection
        .prepare_cached("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM tips)")
        .map_err(|error| damage(error.to_string()))?;
    let counted: rusqlite::Result<(u64, u64)> = count.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
    match counted {
        Ok((runs, tips)) if runs == tips => Ok(()),
        Ok((runs, tips)) => Err(damage(format!("there are {runs} runs, and there should be {tips}"))),
        Err(error) => Err(damage(error.to_string())),
    }
}

/// Sequence of a run's last event.
pub(super) fn tip(connection: &Connection, number: i64) -> Result<u64, Damage> {
    let unreadable = |error: rusqlite::Error| Damage::new(number, 0, format!("the end of the log ({error})"));
    let mut select = connection.prepare_cached("SELECT sequence FROM tips WHERE run = ?1").map_err(unreadable)?;
    let tip: Option<u64> = select.query_row([number], |row| row.get(0)).optional().map_err(unreadable)?;
    match tip {
        Some(sequence @ 1..) => Ok(sequence),
        _ => Err(Damage::new(number, 0, "the end of the log (it is not known any more)")),
    }
}

/// The events of a run after a sequence, each of them as it was written.
pub(super) fn events(connection: &Connection, number: i64, run: &str, after: u64) -> Result<Vec<Event>, Damage> {
    let mut events = Vec::new();
    read_events(connection, number, run, after, |event| events.push(event))?;
    Ok(events)
}

/// Hands over the events of a run after a sequence, up to the first damage.
pub(super) fn read_events(
    connection: &Connection,
    number: i64,
    run: &str,
    after: u64,
    mut take: impl FnMut(Event),
) -> Result<(), Damage> {
    let tip = tip(connection, number);
    let mut last = after;
    let unreadable =
        |last: u64, error: &rusqlite::Error| Damage::new(number, last, format!("event {} ({error})", last + 1));
    let mut select = connection
        .prepare_cached(
            "SELECT sequence, at, kind, checksum FROM events WHERE run = ?1 AND sequence > ?2 ORDER BY sequence",
        )
        .map_err(|error| unreadable(last, &error))?;
    let mut rows = select.query(params![number, after]).map_err(|error| unreadable(last, &error))?;
    while let Some(row) = rows.next().map_err(|error| unreadable(last, &error))? {
        let event = event(row, run, last + 1).map_err(|what| Damage::new(number, last, what))?;
        last = event.sequence;
        take(event);
    }
    match tip? {
        tip if tip == last || tip < after => Ok(()),
        tip if tip > last => Err(Damage::new(number, last, format!("event {} (it is missing)", last + 1))),
        tip => Err(Damage::new(number, tip, format!("the end of the log (it is said to be event {tip})"))),
    }
}

/// The event in a row, which is to be the one with this sequence.
fn event(row: &Row<'_>, run: &str, sequence: u64) -> Result<Event, String> {
    let damaged = |what: &dyn std::fmt::Display| format!("event {sequence} ({what})");
    let found: u64 = row.get(0).map_err(|error| damaged(&error))?;
    if found != sequence {
        return Err(damaged(&"it is missing"));
    }
    let at: u64 = row.get(1).map_err(|error| damaged(&error))?;
    let kind = row.get_ref(2).map_err(|error| damaged(&error))?;
    let kind = kind.as_str().map_err(|error| damaged(&error))?;
    let checksum: u32 = row.get(3).map_err(|error| damaged(&error))?;
    if checksum != event_checksum(run, sequence, at, kind) {
        return Err(damaged(&"its checksum is wrong"));
    }
    let kind: EventKind = serde_json::from_str(kind).map_err(|error| damaged(&error))?;
    Ok(Event { sequence, at, kind })
}

/// A run as it is listed.
pub(super) fn record(connection: &Connection, number: i64) -> Result<RunRecord, Damage> {
    let unreadable = |error: rusqlite::Error| Damage::new(number, 0, format!("the description ({error})"));
    let mut select = connection
        .prepare_cached("SELECT id, created_at, pipeline, checksum FROM runs WHERE number = ?1")
        .map_err(unreadable)?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let found: Option<(String, u64, String, u32)> = select.query_row([number], row).optional().map_err(unreadable)?;
    let Some((id, created_at, pipeline, checksum)) = found else {
        return Err(Damage::new(number, 0, "the description (it is missing)"));
    };
    if checksum != run_checksum(number, &id, created_at, &pipeline) {
        return Err(Damage::new(number, 0, "the description (its checksum is wrong)"));
    }
    let mut record = RunRecord {
        number: number.cast_unsigned(),
        id,
        created_at,
        pipeline,
        sequence: 0,
        updated_at: created_at,
        result: None,
    };
    let tip = tip(connection, number)?;
    let last = events(connection, number, &record.id, tip - 1)?;
    if let Some(last) = last.last() {
        record.follow(last);
    }
    Ok(record)
}

/// The plan of a run, which its first event vouches for.
pub(super) fn plan(connection: &Connection, number: i64) -> Result<Plan, Damage> {
    let json = plan_json(connection, number)?;
    serde_json::from_slice(&json).map_err(|error| Damage::new(number, 0, format!("the plan ({error})")))
}

/// The same as it is stored.
pub(super) fn plan_json(connection: &Connection, number: i64) -> Result<Vec<u8>, Damage> {
    let unreadable = |error: rusqlite::Error| Damage::new(number, 0, format!("the plan ({error})"));
    let mut select = connection
        .prepare_cached(
            "SELECT plan, at, kind, events.checksum, id FROM runs JOIN events ON run = number AND sequence = 1
             WHERE number = ?1",
        )
        .map_err(unreadable)?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let found: Option<(Vec<u8>, u64, String, u32, String)> =
        select.query_row([number], row).optional().map_err(unreadable)?;
    let Some((json, at, kind, checksum, id)) = found else {
        return Err(Damage::new(number, 0, "event 1 (it is missing)"));
    };
    if checksum != event_checksum(&id, 1, at, &kind) {
        return Err(Damage::new(number, 0, "event 1 (its checksum is wrong)"));
    }
    let created = EventKind::RunCreated { plan: plan_digest(&json) };
    match serde_json::to_string(&created) {
        Ok(expected) if expected == kind => Ok(json),
        _ => Err(Damage::new(number, 0, "the plan (it is not the one that was written)")),
    }
}

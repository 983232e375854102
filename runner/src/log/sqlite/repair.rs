//! Finds what is damaged in a database, and makes a new one of everything that is not.

use super::schema::{self, connect};
use super::{Fault, insert, insert_run, rows, wal};
use crate::event::Event;
use crate::log::{LogError, RunRecord};
use crate::plan::Plan;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether events can have happened in this order; where they cannot, how many of them can, and why not more.
pub type IsLegal<'a> = &'a dyn Fn(Plan, &[Event]) -> Result<(), (u64, String)>;

/// What is in a database, and what of it is damaged.
#[derive(Debug, Default)]
pub struct Survey {
    /// Runs that are whole.
    pub whole: u64,
    /// Events that are whole, and stand behind no damaged one.
    pub events: u64,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

/// Something that is damaged.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// When it is about one run: how many of its events can be saved, from the first; 0 when the run is lost.
    pub saved: Option<u64>,
}

/// What was done about it.
#[derive(Debug)]
pub struct Repair {
    /// What was found in the damaged database.
    pub survey: Survey,
    /// The damaged database; `None` when nothing was damaged.
    pub kept: Option<PathBuf>,
}

/// Size of a page: `SQLite`'s default.
pub(super) const PAGE: usize = 4096;

/// Runs one may look for by number alone, when the lists of runs are damaged.
const MAX_GUESSED: i64 = 1_000_000;

/// Beside a database, with something added to its name.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// Takes part in using a database.
pub(super) fn share(database: &Path) -> Result<File, LogError> {
    let lock = lock_file(database)?;
    if !held(|| lock.try_lock_shared()).map_err(|error| failed(database, &error))? {
        let place = database.display();
        return Err(LogError::InUse(format!("the event log at {place} is being repaired; wait for `runner repair`")));
    }
    if !database.exists() && beside(database, ".repaired").exists() {
        let what = "its repair was interrupted".to_owned();
        return Err(LogError::Damaged { place: database.display().to_string(), what, whole: String::new() });
    }
    Ok(lock)
}

/// Takes a database for this process alone.
fn own(database: &Path) -> Result<File, LogError> {
    let lock = lock_file(database)?;
    if held(|| lock.try_lock()).map_err(|error| failed(database, &error))? {
        return Ok(lock);
    }
    let place = database.display();
    Err(LogError::InUse(format!("another process uses the event log at {place}, perhaps to drive a run of it")))
}

/// Whether a lock can be had. A process that has just been started has the locks of its parent for a moment.
fn held(lock: impl Fn() -> Result<(), TryLockError>) -> std::io::Result<bool> {
    for _ in 0..50 {
        match lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn lock_file(database: &Path) -> Result<File, LogError> {
    let lock = File::options().create(true).truncate(false).write(true).open(beside(database, ".lock"));
    lock.map_err(|error| failed(database, &error))
}

fn failed(database: &Path, error: &std::io::Error) -> LogError {
    LogError::Store { place: database.display().to_string(), reason: error.to_string() }
}

/// Looks at everything in a database, and changes nothing.
///
/// # Errors
/// When another process uses it, or the disk fails.
pub fn survey(database: &Path, is_legal: IsLegal<'_>) -> Result<Survey, LogError> {
    let _lock = own(database)?;
    finish_interrupted(database)?;
    let surveyed = salvage(database, is_legal, |_, _, _| Ok(()));
    surveyed.map(|(survey, _)| survey).map_err(|fault| fault.at(database))
}

/// Looks at everything in a database; when something is damaged, puts a new one with everything that is not in its place,
/// and keeps the damaged one.
///
/// # Errors
/// When another process uses it, or the disk fails; the database is then as it was.
pub fn repair(database: &Path, is_legal: IsLegal<'_>) -> Result<Repair, LogError> {
    let _lock = own(database)?;
    finish_interrupted(database)?;
    let repaired = beside(database, ".repaired");
    let fault = |error: std::io::Error| failed(database, &error);
    remove(&repaired).map_err(fault)?;
    let make = || -> Result<Survey, Fault> {
        let mut new = connect(&repaired)?;
        schema::prepare(&mut new)?;
        let (survey, numbers) = salvage(database, is_legal, |record, plan, events| {
            let transaction = new.transaction_with_behavior(TransactionBehavior::Immediate)?;
            insert_run(&transaction, record, plan)?;
            insert(&transaction, record.number.cast_signed(), &record.id, events)?;
            Ok(transaction.commit()?)
        })?;
        // The number of a run that is lost is not given again.
        new.execute("DELETE FROM sqlite_sequence WHERE name = 'runs'", [])?;
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('runs', ?1)", [numbers])?;
        // One file, so that it can be put in its place at once.
        new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(survey)
    };
    let survey = make().map_err(|fault| fault.at(database))?;
    if survey.findings.is_empty() {
        remove(&repaired).map_err(fault)?;
        return Ok(Repair { survey, kept: None });
    }
    let kept = replace(database, &repaired).map_err(fault)?;
    Ok(Repair { survey, kept: Some(kept) })
}

/// Puts the new database in the place of the old one, which gets another name. When that is interrupted there is no
/// database for a moment, but a repaired one: nobody takes that for a project without runs.
fn replace(database: &Path, repaired: &Path) -> std::io::Result<PathBuf> {
    let now = time::OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = time.as_hms();
    let stamp = format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
    let kept = beside(database, &format!(".damaged-{stamp}"));
    if kept.exists() {
        return Err(std::io::Error::other(format!("{} is there already", kept.display())));
    }
    remove_one(&beside(repaired, "-wal"))?;
    remove_one(&beside(repaired, "-shm"))?;
    std::fs::rename(database, &kept)?;
    if wal::path(database).exists() {
        std::fs::rename(wal::path(database), wal::path(&kept))?;
    }
    remove_one(&beside(database, "-shm"))?;
    std::fs::rename(repaired, database)?;
    if let Some(directory) = database.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(kept)
}

/// Ends a repair whose process was lost while it put the new database in its place.
fn finish_interrupted(database: &Path) -> Result<(), LogError> {
    let repaired = beside(database, ".repaired");
    if !database.exists() && repaired.exists() {
        let fault = |error: std::io::Error| failed(database, &error);
        remove_one(&wal::path(database)).map_err(fault)?;
        remove_one(&beside(database, "-shm")).map_err(fault)?;
        std::fs::rename(&repaired, database).map_err(fault)?;
    }
    Ok(())
}

fn remove(database: &Path) -> std::io::Result<()> {
    ["", "-wal", "-shm"].iter().try_for_each(|suffix| remove_one(&beside(database, suffix)))
}

fn remove_one(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Hands over what is whole of each run; says what is not, and the highest number of a run.
fn salvage(
    database: &Path,
    is_legal: IsLegal<'_>,
    mut save: impl FnMut(&RunRecord, &[u8], &[Event]) -> Result<(), Fault>,
) -> Result<(Survey, i64), Fault> {
    let mut survey = Survey::default();
    let wrong = |what: String| Finding { what, saved: None };
    survey.findings.extend(wal::drops(database).map(|what| wrong(format!("{what}; what was written last is lost"))));
    // Beside a damaged write-ahead log SQLite would change the database.
    let mut copy = if survey.findings.is_empty() { None } else { Some(Copy::of(database)?) };
    let connection = match open(copy.as_ref().map_or(database, |copy| &copy.0)) {
        Ok(connection) => connection,
        Err(Fault::Log(error)) => return Err(Fault::Log(error)),
        Err(fault) => {
            survey.findings.push(wrong(format!("the beginning of the database: {fault}")));
            drop(copy.take());
            let fresh = copy.insert(Copy::of(database)?);
            fresh.renew_first_page()?;
            open(&fresh.0)?
        }
    };
    match rows::integrity(&connection) {
        _ if copy.is_some() => {}
        Ok(lines) => survey.findings.extend(lines.into_iter().map(wrong)),
        Err(error) => survey.findings.push(wrong(error.to_string())),
    }
    let (known, guessed) = numbers(&connection);
    let highest = guessed.last().copied().unwrap_or(0);
    for number in guessed {
        match rescue(&connection, number, is_legal) {
            Ok(Rescued { record, plan, events, damage }) => {
                save(&record, &plan, &events)?;
                let count = events.len() as u64;
                survey.events += count;
                survey.whole += u64::from(damage.is_none());
                survey.findings.extend(damage.map(|what| Finding { what, saved: Some(count) }));
            }
            Err(what) if known.contains(&number) => survey.findings.push(Finding { what, saved: Some(0) }),
            Err(_) => {}
        }
    }
    drop(connection);
    Ok((survey, highest))
}

/// Opens a database whose tables can be seen at least. One of an older version is brought up to date first.
fn open(database: &Path) -> Result<Connection, Fault> {
    let mut connection = connect(database)?;
    schema::prepare(&mut connection)?;
    // Here a page is read as far as it can be: each row says whether it is right.
    connection.pragma_update(None, "cell_size_check", false)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name IN ('runs', 'events', 'tips')", [], |row| {
        match row.get(0)? {
            3 => Ok(()),
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some("its tables are not there".to_owned()),
            )),
        }
    })?;
    Ok(connection)
}

/// A copy of a damaged database with everything that its write-ahead log has; removed in the end.
struct Copy(PathBuf);

impl Copy {
    fn of(database: &Path) -> Result<Self, Fault> {
        let make = || {
            let copy = Self(beside(database, ".copy"));
            remove(&copy.0)?;
            std::fs::copy(database, &copy.0)?;
            wal::apply(database, &copy.0)?;
            Ok(copy)
        };
        make().map_err(|error| Fault::Log(failed(database, &error)))
    }

    /// Gives it the first page of a new database, which says where the tables begin: where they do in every database that
    /// has been of this schema from its beginning.
    fn renew_first_page(&self) -> Result<(), Fault> {
        let store = |error: std::io::Error| Fault::Log(failed(&self.0, &error));
        let new = Self(beside(&self.0, ".copy"));
        let mut connection = connect(&new.0)?;
        schema::prepare(&mut connection)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        drop(connection);
        let mut page = std::fs::read(&new.0).map_err(store)?;
        let mut file = File::options().write(true).open(&self.0).map_err(store)?;
        let pages = file.metadata().map_err(store)?.len() / PAGE as u64;
        if pages * PAGE as u64 <= page.len() as u64 {
            // There is not even room for the tables.
            return file.write_all(&page).map_err(store);
        }
        page.truncate(PAGE);
        // How many pages there are, and that none is free.
        page[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
        page[32..40].fill(0);
        file.write_all(&page).map_err(store)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "cannot remove {}", self.0.display());
        }
    }
}

/// Numbers that runs certainly have or had, and those that they may have besides. A damaged page ends a list, so each is
/// read from both ends.
fn numbers(connection: &Connection) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let mut known = BTreeSet::new();
    for select in [
        "SELECT run FROM tips ORDER BY run",
        "SELECT run FROM tips ORDER BY run DESC",
        "SELECT number FROM runs ORDER BY number",
        "SELECT number FROM runs ORDER BY number DESC",
        "SELECT DISTINCT run FROM events ORDER BY run, sequence",
        "SELECT DISTINCT run FROM events ORDER BY run DESC, sequence DESC",
    ] {
        let Ok(mut select) = connection.prepare(select) else { continue };
        let Ok(mut rows) = select.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            known.extend(row.get::<_, i64>(0).ok().filter(|number| *number > 0));
        }
    }
    let given = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'runs'", [], |row| row.get::<_, i64>(0))
        .optional();
    let highest = known.last().copied().unwrap_or(0).max(given.ok().flatten().unwrap_or(0));
    let guessed = known.iter().copied().chain(1..=highest.min(MAX_GUESSED)).collect();
    (known, guessed)
}

/// What is whole of one run.
struct Rescued {
    record: RunRecord,
    plan: Vec<u8>,
    events: Vec<Event>,
    /// What is not, and why.
    damage: Option<String>,
}

/// As much of a run as there is; why there is nothing.
fn rescue(connection: &Connection, number: i64, is_legal: IsLegal<'_>) -> Result<Rescued, String> {
    let json = rows::plan_json(connection, number).map_err(|damage| damage.what)?;
    let plan: Plan = serde_json::from_slice(&json).map_err(|error| format!("the plan of run {number} ({error})"))?;
    // The first event's checksum, which has just been looked at, is one of the identifier too.
    let id = connection.query_row("SELECT id FROM runs WHERE number = ?1", [number], |row| row.get::<_, String>(0));
    let id = id.map_err(|error| format!("run {number} ({error})"))?;
    let mut events = Vec::new();
    let read = rows::read_events(connection, number, &id, 0, |event| events.push(event));
    let mut damage = read.err().map(|damage| damage.what);
    // The description can be had from what it describes.
    damage = damage.or(rows::record(connection, number).err().map(|damage| damage.what));
    let first = events.first().ok_or_else(|| format!("event 1 of run {number}"))?;
    let record = RunRecord::new(&id, number.cast_unsigned(), &plan, first);
    if let Err((legal, reason)) = is_legal(plan, &events) {
        events.truncate(usize::try_from(legal).unwrap_or(usize::MAX));
        damage = Some(format!("event {} of run {number} (it cannot have happened: {reason})", legal + 1));
    }
    Ok(Rescued { record, plan: json, events, damage })
}

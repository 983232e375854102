//! A log in one `SQLite` database in WAL mode: one process appends to a run while others look at it.

mod migrate;
mod repair;
mod rows;
mod schema;
mod wal;

pub use repair::{Finding, IsLegal, Repair, Survey, repair, survey};

use super::{EventLog, LogError, RunRecord, is_beginning, plan_digest};
use crate::event::{Event, EventKind};
use crate::plan::Plan;
use rows::Damage;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use schema::{connect, event_checksum, run_checksum};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Unused bytes from which on the database is written anew without them.
const MIN_FREED: u64 = 1 << 20;

/// The embedded default.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Held as long as the log is open, together with others that have it open: nobody puts another file in its place.
    _lock: File,
}

impl SqliteLog {
    /// Opens the database, and makes it when it is not there. One of an older version is brought up to date.
    ///
    /// # Errors
    /// When it cannot be opened, is damaged, is being repaired, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let lock = repair::share(path)?;
        let opened = (|| {
            let mut connection = connect(path)?;
            wal::check(path, &mut connection)?;
            schema::prepare(&mut connection)?;
            Ok(connection)
        })();
        let connection = Mutex::new(opened.map_err(|fault: Fault| fault.at(path))?);
        Ok(Self { path: path.to_owned(), connection, _lock: lock })
    }

    /// Gives room of removed runs back to the disk, when it is worth while.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn compact(&self) -> Result<(), LogError> {
        let work = || {
            let connection = self.lock();
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
            let (free, all, size) = (pragma("freelist_count")?, pragma("page_count")?, pragma("page_size")?);
            if free * size > MIN_FREED && free * 4 > all {
                connection.execute_batch("VACUUM;")?;
            }
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")
        };
        tokio::task::block_in_place(work).map_err(|error: rusqlite::Error| Fault::from(error).at(&self.path))
    }

    /// Copies what is in the write-ahead log into the database, as far as nobody reads it just now.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        let work = || self.lock().execute_batch("PRAGMA wal_checkpoint(PASSIVE);");
        tokio::task::block_in_place(work).map_err(|error| Fault::from(error).at(&self.path))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does blocking work in one transaction, without keeping other tasks of the thread waiting.
    fn with<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LogError> {
        let work = || {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(behavior)?;
            match work(&transaction) {
                Ok(done) => {
                    transaction.commit()?;
                    Ok(done)
                }
                Err(fault) => Err(fault.look_around(&transaction)),
            }
        };
        tokio::task::block_in_place(work).map_err(|fault: Fault| fault.at(&self.path))
    }
}

/// What keeps the log from doing what was asked.
enum Fault {
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
    Damage(Damage),
    /// What is damaged, and what is still whole.
    Damaged(String, String),
    Log(LogError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(formatter),
            Self::Json(error) => error.fmt(formatter),
            Self::Damage(Damage { what, .. }) | Self::Damaged(what, _) => formatter.write_str(what),
            Self::Log(error) => error.fmt(formatter),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl Fault {
    /// Finds out, where something is damaged, how much is whole; and where something was not found, whether that is
    /// because something is damaged.
    fn look_around(self, connection: &Connection) -> Self {
        match self {
            Self::Damage(damage) => {
                let whole = damage.whole(connection);
                Self::Damaged(damage.what, whole)
            }
            Self::Log(LogError::NoSuchRun(_)) => match rows::integrity(connection).as_deref() {
                Ok([]) => self,
                Ok([first, ..]) => Self::Damaged(first.clone(), String::new()),
                Err(error) => Self::Damaged(error.to_string(), String::new()),
            },
            other => other,
        }
    }

    fn at(self, path: &Path) -> LogError {
        let place = path.display().to_string();
        let error = match self {
            Self::Log(error) => return error,
            Self::Damage(damage) => return LogError::Damaged { place, what: damage.what, whole: String::new() },
            Self::Damaged(what, whole) => return LogError::Damaged { place, what, whole },
            Self::Json(error) => return LogError::Store { place, reason: error.to_string() },
            Self::Sqlite(error) => error,
        };
        let remedy = match error.sqlite_error_code() {
            // The statements are constant, so that only damage makes one wrong.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                return LogError::Damaged { place, what: error.to_string(), whole: String::new() };
            }
            Some(ErrorCode::DiskFull) => return LogError::Full { place, reason: error.to_string() },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => "; is the directory writable?",
            Some(ErrorCode::DatabaseBusy) => "; another process has been writing for more than 10 seconds",
            _ => "",
        };
        LogError::Store { place, reason: format!("{error}{remedy}") }
    }
}

#[async_trait::async_trait]
impl EventLog for SqliteLog {
    async fn create(&self, id: &str, plan: &Plan, first: &Event) -> Result<RunRecord, LogError> {
        self.with(TransactionBehavior::Immediate, |transaction| {
            let json = serde_json::to_vec(plan)?;
            debug_assert!(
                matches!(&first.kind, EventKind::RunCreated { plan } if *plan == plan_digest(&json)),
                "the first event vouches for the plan"
            );
            let number: i64 = transaction
                .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'runs'")?
                .query_row([], |row| row.get(0))?;
            let record = RunRecord::new(id, number.cast_unsigned(), plan, first);
            insert_run(transaction, &record, &json)?;
            insert(transaction, number, id, std::slice::from_ref(first))?;
            Ok(record)
        })
    }

    async fn append(&self, run: &str, events: &[Event]) -> Result<(), LogError> {
        let Some(first) = events.first() else { return Ok(()) };
        self.with(TransactionBehavior::Immediate, |transaction| {
            let number = number_of(transaction, run)?;
            let last = rows::tip(transaction, number)?;
            if first.sequence != last + 1 {
                let expected = first.sequence.saturating_sub(1);
                return Err(Fault::Log(LogError::Conflict { expected, last }));
            }
            insert(transaction, number, run, events)
        })
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Event>, LogError> {
        self.with(TransactionBehavior::Deferred, |transaction| {
            let number = number_of(transaction, run)?;
            Ok(rows::events(transaction, number, run, after)?)
        })
    }

    async fn open(&self, reference: &str) -> Result<(RunRecord, Plan), LogError> {
        let unknown = || Fault::Log(LogError::NoSuchRun(reference.to_owned()));
        self.with(TransactionBehavior::Deferred, |transaction| {
            // Two, to know whether the reference fits more than one.
            let mut select = transaction.prepare_cached(
                "SELECT number, id FROM runs WHERE number = ?1 OR id = ?2 OR ?3 AND substr(id, 1, length(?2)) = ?2
                 ORDER BY (number = ?1 OR id = ?2) DESC LIMIT 2",
            )?;
            let named = reference.parse::<i64>().unwrap_or(-1);
            let found = select
                .query_map(params![named, reference, is_beginning(reference)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let found = found.collect::<Result<Vec<(i64, String)>, _>>()?;
            let (number, id) = found.first().filter(|_| !reference.is_empty()).ok_or_else(unknown)?;
            if found.len() > 1 && *number != named && id != reference {
                return Err(Fault::Log(LogError::Ambiguous(reference.to_owned())));
            }
            Ok((rows::record(transaction, *number)?, rows::plan(transaction, *number)?))
        })
    }

    async fn runs(&self, limit: Option<usize>) -> Result<Vec<RunRecord>, LogError> {
        self.with(TransactionBehavior::Deferred, |transaction| {
            // A negative limit is none.
            let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
            let mut select = transaction.prepare_cached("SELECT run FROM tips ORDER BY run DESC LIMIT ?1")?;
            let numbers = select.query_map([limit], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
            if limit < 0 {
                rows::count_runs(transaction)?;
            }
            Ok(numbers.into_iter().map(|number| rows::record(transaction, number)).collect::<Result<_, _>>()?)
        })
    }

    async fn remove(&self, run: &str) -> Result<(), LogError> {
        self.with(TransactionBehavior::Immediate, |transaction| {
            let number = number_of(transaction, run)?;
            transaction.execute("DELETE FROM events WHERE run = ?1", [number])?;
            transaction.execute("DELETE FROM tips WHERE run = ?1", [number])?;
            transaction.execute("DELETE FROM runs WHERE number = ?1", [number])?;
            Ok(())
        })
    }
}

fn insert_run(connection: &Connection, record: &RunRecord, plan: &[u8]) -> Result<(), Fault> {
    let RunRecord { id, created_at, pipeline, .. } = record;
    let number = record.number.cast_signed();
    connection.execute(
        "INSERT INTO runs (number, id, created_at, pipeline, checksum, plan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![number, id, created_at, pipeline, run_checksum(number, id, *created_at, pipeline), plan],
    )?;
    connection.execute("INSERT INTO tips (run, sequence) VALUES (?1, 0)", [number])?;
    Ok(())
}

fn insert(connection: &Connection, number: i64, run: &str, events: &[Event]) -> Result<(), Fault> {
    let mut insert = connection
        .prepare_cached("INSERT INTO events (run, sequence, at, kind, checksum) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for Event { sequence, at, kind } in events {
        let kind = serde_json::to_string(kind)?;
        insert.execute(params![number, sequence, at, kind, event_checksum(run, *sequence, *at, &kind)])?;
    }
    if let Some(last) = events.last() {
        let mut update = connection.prepare_cached("UPDATE tips SET sequence = ?2 WHERE run = ?1")?;
        update.execute(params![number, last.sequence])?;
    }
    Ok(())
}

fn number_of(connection: &Connection, run: &str) -> Result<i64, Fault> {
    let number = connection
        .prepare_cached("SELECT number FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    number.ok_or_else(|| Fault::Log(LogError::NoSuchRun(run.to_owned())))
}

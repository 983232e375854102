//! A log in one `SQLite` database in WAL mode: one process appends to a run while others look at it.

use super::{EventLog, LogError, RunRecord};
use crate::event::Event;
use crate::plan::Plan;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Version of the tables, kept in the database's `user_version`.
const SCHEMA: u32 = 1;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Unused bytes from which on the database is written anew without them.
const MIN_FREED: u64 = 1 << 20;

/// The embedded default.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl SqliteLog {
    /// Opens the database, and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, is damaged, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let store = |error: rusqlite::Error| failed(path, &error);
        let connection = Connection::open(path).map_err(store)?;
        connection.busy_timeout(BUSY).map_err(store)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(store)?;
        // A commit is on the disk before it returns: what is acted on has survived a power loss.
        connection.pragma_update(None, "synchronous", "full").map_err(store)?;
        // Closing copies nothing from the write-ahead log into the database: that would cost a short run three more
        // writes to the disk. It happens every thousand pages instead, and whoever opens the log reads both.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(store)?;
        let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(store)?;
        if found > SCHEMA {
            return Err(LogError::Newer { found, known: SCHEMA });
        }
        if found == 0 {
            connection
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     CREATE TABLE IF NOT EXISTS runs (
                         number INTEGER PRIMARY KEY AUTOINCREMENT,
                         id TEXT NOT NULL UNIQUE,
                         created_at INTEGER NOT NULL,
                         pipeline TEXT NOT NULL,
                         plan BLOB NOT NULL
                     ) STRICT;
                     CREATE TABLE IF NOT EXISTS events (
                         run INTEGER NOT NULL REFERENCES runs (number),
                         sequence INTEGER NOT NULL,
                         at INTEGER NOT NULL,
                         kind TEXT NOT NULL,
                         PRIMARY KEY (run, sequence)
                     ) STRICT, WITHOUT ROWID;
                     PRAGMA user_version = {SCHEMA};
                     COMMIT;"
                ))
                .map_err(store)?;
        }
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// Gives room of removed runs back to the disk, when it is worth while.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn compact(&self) -> Result<(), LogError> {
        self.with(|connection| {
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
            let (free, all, size) = (pragma("freelist_count")?, pragma("page_count")?, pragma("page_size")?);
            if free * size > MIN_FREED && free * 4 > all {
                connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
            }
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does blocking work without keeping other tasks of the thread waiting.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Fault>) -> Result<T, LogError> {
        tokio::task::block_in_place(|| work(&mut self.lock())).map_err(|fault| match fault {
            Fault::Sqlite(error) => failed(&self.path, &error),
            Fault::Json(error) => LogError::Store {
                place: self.path.display().to_string(),
                reason: format!("a stored event or plan cannot be read: {error}"),
            },
            Fault::Log(error) => error,
        })
    }
}

enum Fault {
    Sqlite(rusqlite::Error),
    Json(serde_json::Error),
    Log(LogError),
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

fn failed(path: &Path, error: &rusqlite::Error) -> LogError {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            return LogError::Full { place: path.display().to_string(), reason: error.to_string() };
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; the file is damaged: move it away to start anew"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => "; is the directory writable?",
        Some(ErrorCode::DatabaseBusy) => "; another process has been writing for more than 10 seconds",
        _ => "",
    };
    LogError::Store { place: path.display().to_string(), reason: format!("{error}{remedy}") }
}

/// What [`record`] reads: a run with its last event.
const RECORDS: &str = "SELECT number, id, created_at, pipeline, sequence, at, kind, plan FROM runs JOIN events
     ON run = number AND sequence = (SELECT max(sequence) FROM events WHERE run = number)";

fn record(row: &rusqlite::Row<'_>) -> Result<RunRecord, Fault> {
    let mut record = RunRecord {
        number: row.get(0)?,
        id: row.get(1)?,
        created_at: row.get(2)?,
        pipeline: row.get(3)?,
        sequence: 0,
        updated_at: 0,
        result: None,
    };
    record.follow(&event(row, 4)?);
    Ok(record)
}

/// The event in three columns from this one on.
fn event(row: &rusqlite::Row<'_>, first: usize) -> Result<Event, Fault> {
    let kind = serde_json::from_str(row.get_ref(first + 2)?.as_str().map_err(rusqlite::Error::from)?)?;
    Ok(Event { sequence: row.get(first)?, at: row.get(first + 1)?, kind })
}

#[async_trait::async_trait]
impl EventLog for SqliteLog {
    async fn create(&self, id: &str, plan: &Plan, first: &Event) -> Result<RunRecord, LogError> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO runs (id, created_at, pipeline, plan) VALUES (?1, ?2, ?3, ?4)",
                params![id, first.at, plan.pipeline, serde_json::to_vec(plan)?],
            )?;
            let number = transaction.last_insert_rowid();
            insert(&transaction, number, std::slice::from_ref(first))?;
            transaction.commit()?;
            Ok(RunRecord::new(id, number.cast_unsigned(), plan, first))
        })
    }

    async fn append(&self, run: &str, events: &[Event]) -> Result<(), LogError> {
        let Some(first) = events.first() else { return Ok(()) };
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let number = number_of(&transaction, run)?;
            let last: u64 = transaction
                .prepare_cached("SELECT coalesce(max(sequence), 0) FROM events WHERE run = ?1")?
                .query_row([number], |row| row.get(0))?;
            if first.sequence != last + 1 {
                let expected = first.sequence.saturating_sub(1);
                return Err(Fault::Log(LogError::Conflict { expected, last }));
            }
            insert(&transaction, number, events)?;
            transaction.commit()?;
            Ok(())
        })
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Event>, LogError> {
        self.with(|connection| {
            let number = number_of(connection, run)?;
            let mut select = connection.prepare_cached(
                "SELECT sequence, at, kind FROM events WHERE run = ?1 AND sequence > ?2 ORDER BY sequence",
            )?;
            let mut rows = select.query(params![number, after])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(event(row, 0)?);
            }
            Ok(events)
        })
    }

    async fn open(&self, reference: &str) -> Result<(RunRecord, Plan), LogError> {
        let unknown = || Fault::Log(LogError::NoSuchRun(reference.to_owned()));
        self.with(|connection| {
            // Two, to know whether the reference fits more than one.
            let mut select = connection.prepare_cached(
                "SELECT number FROM runs WHERE number = ?1 OR id = ?2 OR substr(id, 1, length(?2)) = ?2
                 ORDER BY (number = ?1 OR id = ?2) DESC LIMIT 2",
            )?;
            let named = reference.parse::<i64>().unwrap_or(-1);
            let found = select.query_map(params![named, reference], |row| row.get(0))?;
            let found = found.collect::<Result<Vec<i64>, _>>()?;
            let number = *found.first().filter(|_| !reference.is_empty()).ok_or_else(unknown)?;
            let mut select = connection.prepare_cached(&format!("{RECORDS} WHERE number = ?1"))?;
            let mut rows = select.query([number])?;
            let row = rows.next()?.ok_or_else(unknown)?;
            let record = record(row)?;
            if found.len() > 1 && number != named && record.id != reference {
                return Err(Fault::Log(LogError::Ambiguous(reference.to_owned())));
            }
            Ok((record, serde_json::from_slice(row.get_ref(7)?.as_blob().map_err(rusqlite::Error::from)?)?))
        })
    }

    async fn runs(&self, limit: Option<usize>) -> Result<Vec<RunRecord>, LogError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(&format!("{RECORDS} ORDER BY number DESC LIMIT ?1"))?;
            // A negative limit is none.
            let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
            let mut rows = select.query([limit])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(record(row)?);
            }
            Ok(records)
        })
    }

    async fn remove(&self, run: &str) -> Result<(), LogError> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let number = number_of(&transaction, run)?;
            transaction.execute("DELETE FROM events WHERE run = ?1", [number])?;
            transaction.execute("DELETE FROM runs WHERE number = ?1", [number])?;
            transaction.commit()?;
            Ok(())
        })
    }
}

fn insert(connection: &Connection, run: i64, events: &[Event]) -> Result<(), Fault> {
    let mut insert =
        connection.prepare_cached("INSERT INTO events (run, sequence, at, kind) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        insert.execute(params![run, event.sequence, event.at, serde_json::to_string(&event.kind)?])?;
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

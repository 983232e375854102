//! The tables, their versions, and what makes a flipped byte in them stand out.

use super::Fault;
use super::{migrate, rows};
use crate::log::LogError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Version of the tables and of what is stored in them, kept in the database's `user_version`.
pub(super) const SCHEMA: u32 = 2;

/// No schema will have a higher version; a damaged one may seem to have.
const PLAUSIBLE: i64 = 1000;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// What `SQLite` finds out about a damaged file by itself is not everything: a page that says it has fewer rows than it has
/// looks whole. So `tips` says of each run which event is its last, and each row has a checksum; a plan has its digest
/// in the first event.
const TABLES: &str = "
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        plan BLOB NOT NULL
    ) STRICT;
    CREATE TABLE events (
        run INTEGER NOT NULL REFERENCES runs (number),
        sequence INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (run, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tips (
        run INTEGER PRIMARY KEY REFERENCES runs (number),
        sequence INTEGER NOT NULL
    ) STRICT;";

/// A connection that is set up as all of them are; the tables may be missing or old.
pub(super) fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A commit is on the disk before it returns: what is acted on has survived a power loss.
    connection.pragma_update(None, "synchronous", "full")?;
    // A page whose cells reach out of it is damaged, and is not to be read any further.
    connection.pragma_update(None, "cell_size_check", true)?;
    // Closing copies nothing from the write-ahead log into the database: that would cost a short run three more writes to
    // the disk. It happens every thousand pages instead, and whoever opens the log reads both.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Whoever wrote the file, its schema makes nothing happen.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(connection)
}

/// Makes the tables, or brings older ones up to date. Of several processes that open the same database at once one does
/// it, and the others find it done.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    if version(connection)? == i64::from(SCHEMA) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    match version(&transaction)? {
        0 => transaction.execute_batch(TABLES)?,
        1 => {
            transaction
                .execute_batch("ALTER TABLE events RENAME TO old_events; ALTER TABLE runs RENAME TO old_runs;")?;
            transaction.execute_batch(TABLES)?;
            migrate::from_1(&transaction)?;
            transaction.execute_batch("DROP TABLE old_events; DROP TABLE old_runs;")?;
        }
        found if found == i64::from(SCHEMA) => {}
        found @ 0..=PLAUSIBLE => {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Fault::Log(LogError::Newer { found, known: SCHEMA }));
        }
        found => return Err(Fault::Damage(rows::damage(format!("its schema has the version {found}")))),
    }
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The checksum of a run's row; its plan has a digest in the first event.
pub(super) fn run_checksum(number: i64, id: &str, created_at: u64, pipeline: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&created_at.to_le_bytes());
    hasher.update(id.as_bytes());
    hasher.update(&[0]);
    hasher.update(pipeline.as_bytes());
    hasher.finalize()
}

/// The checksum of an event: it is that of its run, its place, its time and its text.
pub(super) fn event_checksum(run: &str, sequence: u64, at: u64, kind: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(run.as_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    hasher.update(kind.as_bytes());
    hasher.finalize()
}

//! A queue in one `SQLite` database, for all processes of a user on one machine.
//!
//! Each process holds a lock on a file of its own, which the kernel frees however the process ends: what a dead process has
//! offered and leased is taken back at once, before it runs out.

use super::{Attempt, Lease, Offer, Queue, QueueError};
use crate::pipeline::attribute::ConcurrencyMethod;
use crate::plan::{ConcurrencyGroup, JobId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS offers (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        job INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        grp TEXT,
        most INTEGER,
        ordered INTEGER,
        process TEXT NOT NULL,
        holder TEXT,
        token INTEGER,
        until INTEGER NOT NULL,
        UNIQUE (run, job, attempt)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS by_group ON offers (grp);
    CREATE TABLE IF NOT EXISTS tokens (last INTEGER NOT NULL) STRICT;";

/// The queue in a directory.
#[derive(Debug)]
pub struct SqliteQueue {
    directory: PathBuf,
    /// Opened when it is first needed: most runs have no concurrency groups.
    opened: Mutex<Option<Opened>>,
    /// Ends what a run has left running whose process is gone; whether it could.
    end: fn(&str) -> bool,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    process: Process,
}

/// What shows to other processes that this one lives.
#[derive(Debug)]
struct Process {
    id: String,
    path: PathBuf,
    _lock: File,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever finds it later removes it.
        drop(std::fs::remove_file(&self.path));
    }
}

impl SqliteQueue {
    /// The queue in this directory, which is made when the queue is first used.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, opened: Mutex::default(), end: |_| true }
    }

    /// With what ends that which a run has left running whose process is gone: before it is done, and unless it can be,
    /// nobody takes the run's place.
    #[must_use]
    pub fn ending(self, end: fn(&str) -> bool) -> Self {
        Self { end, ..self }
    }

    /// Does blocking work in one transaction, without keeping other tasks of the thread waiting.
    fn with<T>(&self, work: impl FnOnce(&Transaction<'_>, &str) -> Result<T, Fault>) -> Result<T, QueueError> {
        let work = || {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            let Opened { connection, process } = match &mut *opened {
                Some(opened) => opened,
                none => none.insert(open(&self.directory)?),
            };
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction, &process.id)?;
            transaction.commit()?;
            Ok(done)
        };
        tokio::task::block_in_place(work).map_err(|fault: Fault| {
            let reason = match fault {
                Fault::Lost => return QueueError::Lost,
                Fault::Sqlite(error) => format!("{error}; when no run is going on it can be removed"),
                Fault::File(error) => format!("{error}; is the directory writable? RUNNER_STATE_DIR names another"),
            };
            QueueError::Store { place: self.directory.display().to_string(), reason }
        })
    }

    /// Takes back what processes have offered that are gone.
    fn reap(&self, transaction: &Transaction<'_>, group: &str, own: &str) -> Result<(), Fault> {
        let mut select =
            transaction.prepare_cached("SELECT DISTINCT process FROM offers WHERE grp = ?1 AND process != ?2")?;
        let others = select.query_map([group, own], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        for process in others.into_iter().filter(|process| is_gone(&self.directory, process)) {
            let mut select = transaction.prepare_cached("SELECT DISTINCT run FROM offers WHERE process = ?1")?;
            let runs = select.query_map([&process], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            for run in runs.into_iter().filter(|run| (self.end)(run)) {
                tracing::debug!(process, run, "took back what a process that is gone has offered");
                transaction.execute("DELETE FROM offers WHERE process = ?1 AND run = ?2", [&process, &run])?;
            }
        }
        Ok(())
    }
}

enum Fault {
    Lost,
    Sqlite(rusqlite::Error),
    File(std::io::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

fn open(directory: &Path) -> Result<Opened, Fault> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join("processes"))?;
    let id = uuid::Uuid::now_v7().to_string();
    let path = file_of(directory, &id);
    let lock = File::create_new(&path)?;
    lock.lock()?;
    let process = Process { id, path, _lock: lock };
    let connection = Connection::open(directory.join("queue.db"))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // After a power loss nobody holds anything.
    connection.pragma_update(None, "synchronous", "off")?;
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
    Ok(Opened { connection, process })
}

fn file_of(directory: &Path, process: &str) -> PathBuf {
    directory.join("processes").join(process)
}

/// Whether nobody holds the lock of a process any more.
fn is_gone(directory: &Path, process: &str) -> bool {
    let path = file_of(directory, process);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            // When it cannot be removed, it is found again.
            drop(std::fs::remove_file(path));
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Milliseconds since the machine was started, without those it slept: a lease does not run out while its holder sleeps
/// with the machine, or when somebody sets the clock.
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

fn after(lasting: Duration) -> i64 {
    now().saturating_add(i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX))
}

/// What is stored of an offer.
struct Entry {
    place: i64,
    group: Option<ConcurrencyGroup>,
    token: Option<u64>,
    until: i64,
}

fn find(transaction: &Transaction<'_>, attempt: &Attempt) -> Result<Option<Entry>, Fault> {
    let mut select = transaction.prepare_cached(
        "SELECT place, grp, most, ordered, token, until FROM offers WHERE run = ?1 AND job = ?2 AND attempt = ?3",
    )?;
    let entry = select.query_row(params![attempt.run, attempt.job.0, attempt.attempt], |row| {
        let group = match row.get(1)? {
            Some(name) => Some(ConcurrencyGroup {
                name,
                limit: row.get(2)?,
                method: if row.get(3)? { ConcurrencyMethod::Ordered } else { ConcurrencyMethod::Eager },
            }),
            None => None,
        };
        Ok(Entry { place: row.get(0)?, group, token: row.get(4)?, until: row.get(5)? })
    });
    Ok(entry.optional()?)
}

fn has_turn(transaction: &Transaction<'_>, entry: &Entry) -> Result<bool, Fault> {
    let Some(group) = &entry.group else { return Ok(true) };
    let mut count = transaction.prepare_cached(
        "SELECT count(*) FILTER (WHERE token IS NOT NULL), count(*) FILTER (WHERE token IS NULL AND place < ?2)
         FROM offers WHERE grp = ?1 AND place != ?2 AND until > ?3",
    )?;
    let counted = count.query_row(params![group.name, entry.place, now()], |row| Ok((row.get(0)?, row.get(1)?)));
    let (leased, before): (u64, u64) = counted?;
    Ok(leased < group.limit && (group.method == ConcurrencyMethod::Eager || before == 0))
}

fn next_token(transaction: &Transaction<'_>) -> Result<u64, Fault> {
    let last: Option<u64> =
        transaction.query_row("UPDATE tokens SET last = last + 1 RETURNING last", [], |row| row.get(0)).optional()?;
    if let Some(token) = last {
        return Ok(token);
    }
    transaction.execute("INSERT INTO tokens (last) VALUES (1)", [])?;
    Ok(1)
}

#[async_trait::async_trait]
impl Queue for SqliteQueue {
    async fn offer(&self, offer: &Offer, lasting: Duration) -> Result<(), QueueError> {
        self.with(|transaction, process| {
            let Offer { attempt: Attempt { run, job: JobId(job), attempt }, group } = offer;
            let name = group.as_ref().map(|group| &group.name);
            let limit = group.as_ref().map(|group| group.limit);
            let ordered = group.as_ref().map(|group| group.method == ConcurrencyMethod::Ordered);
            transaction.execute(
                "INSERT INTO offers (run, job, attempt, grp, most, ordered, process, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (run, job, attempt) DO UPDATE
                 SET process = excluded.process, until = excluded.until, token = NULL, holder = NULL
                 WHERE token IS NULL OR until <= ?9",
                params![run, job, attempt, name, limit, ordered, process, after(lasting), now()],
            )?;
            Ok(())
        })
    }

    async fn lease(&self, attempt: &Attempt, holder: &str, lasting: Duration) -> Result<Option<Lease>, QueueError> {
        self.with(|transaction, process| {
            let Some(entry) = find(transaction, attempt)? else { return Ok(None) };
            if let Some(group) = &entry.group {
                self.reap(transaction, &group.name, process)?;
            }
            // It may have been among what was taken back.
            let Some(entry) = find(transaction, attempt)? else { return Ok(None) };
            let is_leased = entry.token.is_some() && entry.until > now();
            if is_leased || !has_turn(transaction, &entry)? {
                return Ok(None);
            }
            let token = next_token(transaction)?;
            transaction.execute(
                "UPDATE offers SET process = ?2, holder = ?3, token = ?4, until = ?5 WHERE place = ?1",
                params![entry.place, process, holder, token, after(lasting)],
            )?;
            Ok(Some(Lease { offer: Offer { attempt: attempt.clone(), group: entry.group }, token }))
        })
    }

    async fn extend(&self, lease: &Lease, lasting: Duration) -> Result<(), QueueError> {
        self.with(|transaction, _| {
            let changed = transaction.execute(
                "UPDATE offers SET until = ?2 WHERE token = ?1 AND until > ?3",
                params![lease.token, after(lasting), now()],
            )?;
            if changed == 0 { Err(Fault::Lost) } else { Ok(()) }
        })
    }

    async fn settle(&self, lease: &Lease) -> Result<(), QueueError> {
        self.with(|transaction, _| {
            let changed = transaction.execute("DELETE FROM offers WHERE token = ?1", [lease.token])?;
            if changed == 0 { Err(Fault::Lost) } else { Ok(()) }
        })
    }

    async fn withdraw(&self, run: &str, attempt: Option<&Attempt>) -> Result<(), QueueError> {
        if !self.directory.join("queue.db").exists() {
            return Ok(());
        }
        self.with(|transaction, _| {
            let (job, number) = attempt.map(|attempt| (attempt.job.0, attempt.attempt)).unzip();
            transaction.execute(
                "DELETE FROM offers WHERE run = ?1 AND (?2 IS NULL OR job = ?2 AND attempt = ?3)",
                params![run, job, number],
            )?;
            Ok(())
        })
    }
}

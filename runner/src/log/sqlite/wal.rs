//! The write-ahead log: finds transactions that were committed and that `SQLite` would drop without a word.
//!
//! A log that ends in the middle of a transaction is what a power loss leaves behind, and nothing is wrong with it: nobody
//! was told that the transaction is durable. `SQLite` reads a log up to the first frame whose checksum is wrong, and takes
//! every such frame for such an end. It is damage when a whole transaction follows: each is on the disk before the next
//! begins. Only damage to the last transaction cannot be told from a power loss.

use super::Fault;
use super::repair::PAGE;
use crate::log::sqlite::rows;
use rusqlite::{Connection, TransactionBehavior};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Beside a database.
pub(super) fn path(database: &Path) -> PathBuf {
    super::repair::beside(database, "-wal")
}

/// Fails when transactions would be dropped.
pub(super) fn check(database: &Path, connection: &mut Connection) -> Result<(), Fault> {
    if drops(database).is_none() {
        return Ok(());
    }
    // Another process may be writing just now; so look again when nobody does.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dropped = drops(database);
    drop(transaction);
    dropped.map_or(Ok(()), |what| Err(Fault::Damage(rows::damage(what))))
}

/// What is wrong with the log so that transactions would be dropped.
pub(super) fn drops(database: &Path) -> Option<String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path(database)).ok()?);
    match scan(&mut file) {
        // Cut off in a frame, or before the first one.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
        Err(error) => Some(format!("its write-ahead log cannot be read: {error}")),
        Ok(found) => found,
    }
}

fn scan(file: &mut impl Read) -> std::io::Result<Option<String>> {
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    let big_endian = match word(&header, 0) {
        // Space was made, and nothing was written.
        0 if header == [0; HEADER] => return Ok(None),
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(Some("the header of its write-ahead log".to_owned())),
    };
    let mut sum = checksum(big_endian, (0, 0), &header[..24]);
    let page = word(&header, 8) as usize;
    if sum != pair(&header, 24) || !(512..=65_536).contains(&page) {
        return Ok(Some("the header of its write-ahead log".to_owned()));
    }
    let salts = pair(&header, 16);
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut first_wrong = None;
    let mut committed = false;
    for number in 1.. {
        match file.read_exact(&mut frame) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            other => other?,
        }
        // Frames of another round through the file have other salts.
        let fits = pair(&frame, 8) == salts;
        if committed && fits {
            return Ok(first_wrong.map(|number: u32| format!("frame {number} of its write-ahead log")));
        }
        if first_wrong.is_none() {
            sum = checksum(big_endian, sum, &frame[..8]);
            sum = checksum(big_endian, sum, &frame[FRAME_HEADER..]);
            if !fits || sum != pair(&frame, 16) {
                first_wrong = Some(number);
            }
        }
        committed |= first_wrong.is_some() && fits && word(&frame, 4) > 0;
    }
    Ok(None)
}

/// Writes the pages of the log into a copy of its database, also those that `SQLite` would drop, up to the last whole
/// transaction. What is wrong with them is found by whoever reads the copy.
pub(super) fn apply(database: &Path, copy: &Path) -> std::io::Result<()> {
    let log = match std::fs::read(path(database)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let frames: Vec<&[u8]> = log.get(HEADER..).unwrap_or_default().chunks_exact(FRAME_HEADER + PAGE).collect();
    let header = &log[..HEADER.min(log.len())];
    let salts =
        if header.len() == HEADER && checksum(word(header, 0) & 1 == 1, (0, 0), &header[..24]) == pair(header, 24) {
            Some(pair(header, 16))
        } else {
            // The salts of two frames in a row are not damaged both.
            frames
                .windows(2)
                .map(|two| (pair(two[0], 8), pair(two[1], 8)))
                .find(|(one, next)| one == next)
                .map(|(one, _)| one)
        };
    let is_of_this_round = |frame: &&[u8]| Some(pair(frame, 8)) == salts;
    // Damage may have changed the salts of a frame in the middle.
    let end = frames.iter().rposition(|frame| is_of_this_round(frame) && word(frame, 4) > 0).map_or(0, |last| last + 1);
    let mut file = File::options().write(true).open(copy)?;
    let most = file.metadata()?.len() / PAGE as u64 + frames.len() as u64;
    for frame in &frames[..end] {
        let number = u64::from(word(frame, 0));
        if (1..=most).contains(&number) {
            file.seek(SeekFrom::Start((number - 1) * PAGE as u64))?;
            file.write_all(&frame[FRAME_HEADER..])?;
        }
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn pair(bytes: &[u8], at: usize) -> (u32, u32) {
    (word(bytes, at), word(bytes, at + 4))
}

/// The checksum of `SQLite`'s file format, section 4.2.
fn checksum(big_endian: bool, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let turn = |word: u32| if big_endian { word } else { word.swap_bytes() };
    for chunk in bytes.chunks_exact(8) {
        first = first.wrapping_add(turn(word(chunk, 0))).wrapping_add(second);
        second = second.wrapping_add(turn(word(chunk, 4))).wrapping_add(first);
    }
    (first, second)
}

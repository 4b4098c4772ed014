//! Peers that make records durable, one group at a time.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Result;
use crc::{CRC_32_ISCSI, Crc, Table};
use redb::{Database, TableDefinition};
use rusqlite::Connection;

use super::Kept;

/// Makes groups of records durable.
pub trait Log: Send {
    /// Returns when all of them are on the disk.
    fn commit(&mut self, group: &[Kept]) -> Result<()>;
}

/// `SQLite` with a write-ahead log, flushed in every commit.
pub struct Sqlite(Connection);

impl Sqlite {
    /// Begins a file.
    pub fn create(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let table = "CREATE TABLE names (name BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID";
        connection.execute(table, [])?;
        Ok(Self(connection))
    }
}

impl Log for Sqlite {
    fn commit(&mut self, group: &[Kept]) -> Result<()> {
        let transaction = self.0.transaction()?;
        for Kept { name, record } in group {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO names VALUES (?1, ?2)")?
                .execute((name, record))?;
        }
        Ok(transaction.commit()?)
    }
}

const NAMES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("names");

/// redb, whose commits are durable unless it is told otherwise.
pub struct Redb(Database);

impl Redb {
    /// Begins a file.
    pub fn create(file: &Path) -> Result<Self> {
        Ok(Self(Database::create(file)?))
    }
}

impl Log for Redb {
    fn commit(&mut self, group: &[Kept]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(NAMES)?;
        for Kept { name, record } in group {
            table.insert(name.as_slice(), record.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

/// Bytes that are zeroed ahead at a time.
const AHEAD: usize = 64 << 20;
const CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A file of records with their lengths and sums, zeroed ahead.
pub struct Bare {
    file: File,
    end: u64,
    zeroed: u64,
    frame: Vec<u8>,
}

impl Bare {
    /// Begins a file.
    pub fn create(file: &Path) -> Result<Self> {
        let mut log = Self {
            file: File::create(file)?,
            end: 0,
            zeroed: 0,
            frame: Vec::new(),
        };
        log.zero()?;
        Ok(log)
    }

    fn zero(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.zeroed))?;
        self.file.write_all(&vec![0; AHEAD])?;
        self.zeroed += AHEAD as u64;
        Ok(self.file.sync_all()?)
    }
}

impl Log for Bare {
    fn commit(&mut self, group: &[Kept]) -> Result<()> {
        self.frame.clear();
        self.frame.extend_from_slice(&[0; 8]);
        for Kept { record, .. } in group {
            self.frame.extend_from_slice(record);
        }
        let sum = CRC_32C.checksum(&self.frame[8..]);
        let length = u32::try_from(self.frame.len())?;
        self.frame[..4].copy_from_slice(&length.to_le_bytes());
        self.frame[4..8].copy_from_slice(&sum.to_le_bytes());
        if self.end + u64::from(length) > self.zeroed {
            self.zero()?;
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&self.frame)?;
        self.end += u64::from(length);
        Ok(self.file.sync_data()?)
    }
}

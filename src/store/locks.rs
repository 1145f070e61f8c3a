//! The embedded database belongs to one process: a lock on the data directory says which.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the lock of a process that has just died may last.
const PATIENCE: Duration = Duration::from_secs(1);

/// Held as long as this process has the data directory to itself; the kernel lets go of it if the process dies.
#[derive(Debug)]
pub struct DataDirLock(#[expect(dead_code, reason = "open is what it is for")] File);

impl DataDirLock {
    /// Takes the lock, or says who is in the way: [`io::ErrorKind::WouldBlock`] when another process has it.
    pub fn take(data_dir: &Path) -> io::Result<Self> {
        let unusable = |error: io::Error| {
            let dir = data_dir.display();
            io::Error::new(error.kind(), format!("the data directory {dir} cannot be written to: {error}"))
        };
        std::fs::create_dir_all(data_dir).map_err(unusable)?;
        let path = data_dir.join("codeyard.lock");
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(unusable)?;
        let (asked, mut answer) = (Instant::now(), file.try_lock());
        // A server that was killed may have been starting a process just then, which dies with it, but not at once.
        while matches!(answer, Err(TryLockError::WouldBlock)) && asked.elapsed() < PATIENCE {
            std::thread::yield_now();
            answer = file.try_lock();
        }
        match answer {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "another process uses the data directory {}; stop it, give this one its own (CODEYARD_DATA_DIR), \
                     or share a PostgreSQL (CODEYARD_DATABASE_URL)",
                    data_dir.display()
                ),
            )),
        }
    }
}

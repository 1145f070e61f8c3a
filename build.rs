//! Looks after what the compiler does not notice by itself.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

fn main() -> io::Result<()> {
    // `sqlx::migrate!` does not see a new file.
    println!("cargo:rerun-if-changed=migrations");
    // Results of analyses are kept under the hash of the engine that found them.
    let mut files = Vec::new();
    for place in ["src/analysis", "src/model", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={place}");
        list(Path::new(place), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        (&file, fs::read(&file)?).hash(&mut hasher);
    }
    println!("cargo:rustc-env=CODEYARD_ANALYSIS_DIGEST={:016x}", hasher.finish());
    Ok(())
}

fn list(place: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !place.is_dir() {
        files.push(place.to_owned());
        return Ok(());
    }
    fs::read_dir(place)?.try_for_each(|entry| list(&entry?.path(), files))
}

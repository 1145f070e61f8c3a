//! This machine: the address, open files, disk space.

use std::ffi::CString;
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::Check;
use crate::cli::paint::grouped;
use crate::cli::runtime::OpenFiles;
use crate::config::Config;

/// Fewer open files than this do for nothing.
const FEWEST_FILES: u64 = 1_024;
/// Open files besides sockets and connections to the database.
const OTHER_FILES: u64 = 256;
const MIB: u64 = 1 << 20;
/// Free space below which a server will fail, and below which somebody should know.
const NO_SPACE: u64 = 100 * MIB;
const LITTLE_SPACE: u64 = 1_024 * MIB;

/// Whether the server can listen where it is told to.
pub(super) async fn address(config: &Config) -> Check {
    const NAME: &str = "address";
    let address = config.server.listen;
    let error = match TcpListener::bind(address) {
        Ok(_) => return Check::ok(NAME, format!("{address} is free")),
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::AddrInUse && is_codeyard(&format!("http://{address}")).await {
        return Check::ok(NAME, format!("a Codeyard answers on {address}"));
    }
    let advice = "choose another with --listen or server.listen (CODEYARD_SERVER_LISTEN)";
    Check::problem(NAME, format!("cannot listen on {address}: {error}"), advice)
}

/// Whether there can be as many sockets as the settings allow.
pub(super) fn open_files(config: &Config) -> Check {
    const NAME: &str = "open files";
    match OpenFiles::now() {
        Ok(limit) => enough_files(NAME, limit, config),
        Err(error) => {
            Check::warning(NAME, format!("the limit is not known: {error}"), "look at `ulimit -Hn`")
        }
    }
}

fn enough_files(name: &'static str, limit: OpenFiles, config: &Config) -> Check {
    let needed = config.server.max_sockets.saturating_add(config.server.max_in_flight) as u64;
    let needed =
        needed.saturating_add(u64::from(config.database.max_connections)).saturating_add(OTHER_FILES);
    let hard = limit.hard;
    let shown = if hard == libc::RLIM_INFINITY { "no limit".to_owned() } else { format!("up to {hard}") };
    let advice = format!("allow {needed}: LimitNOFILE= in systemd, --ulimit nofile= in Docker, `ulimit -Hn`");
    if hard < FEWEST_FILES {
        Check::problem(name, shown, advice)
    } else if hard < needed {
        let lower = "or lower server.max_sockets";
        Check::warning(
            name,
            format!("{shown}; the settings allow sockets and requests for {needed}"),
            advice + "\n" + lower,
        )
    } else {
        Check::ok(name, format!("{shown} (the server raises the soft limit of {} itself)", limit.soft))
    }
}

/// Whether there is room for the database.
pub(super) fn disk(config: &Config) -> Check {
    const NAME: &str = "disk space";
    let place = existing_part(&config.data_dir);
    match free_bytes(place) {
        Ok(free) => enough_space(NAME, free, place),
        Err(error) => Check::warning(NAME, format!("{}: {error}", place.display()), "look at `df` yourself"),
    }
}

fn enough_space(name: &'static str, free: u64, place: &Path) -> Check {
    let free_mib = grouped(usize::try_from(free / MIB).unwrap_or(usize::MAX));
    let detail = format!("{free_mib} MiB free in {}", place.display());
    let advice = "make room, or choose another place (data_dir); shorter [retention] keeps less";
    if free < NO_SPACE {
        Check::problem(name, detail, advice)
    } else if free < LITTLE_SPACE {
        Check::warning(name, detail, advice)
    } else {
        Check::ok(name, detail)
    }
}

/// The directory, or the nearest one above it that is there.
pub(super) fn existing_part(dir: &Path) -> &Path {
    let found = dir.ancestors().find(|part| part.is_dir());
    found.filter(|part| !part.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[expect(unsafe_code, reason = "std does not know file systems")]
fn free_bytes(place: &Path) -> io::Result<u64> {
    let path = CString::new(place.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends in NUL, and both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed before, and filled by the call.
    let found = unsafe { found.assume_init() };
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

async fn is_codeyard(url: &str) -> bool {
    let ask = async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        client.get(format!("{url}/api/health/live")).send().await?.json::<serde_json::Value>().await
    };
    ask.await.is_ok_and(|answer: serde_json::Value| answer["status"] == "alive")
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_does_not_exist_yet_is_looked_for_above() {
        assert_eq!(existing_part(Path::new("/tmp/no/such/place")), Path::new("/tmp"));
        assert_eq!(existing_part(Path::new("no-such-place")), Path::new("."));
    }

    #[test]
    fn too_few_files_and_too_little_space_are_told_apart_from_none() {
        let config = Config::defaults().unwrap();
        let files = |hard| enough_files("open files", OpenFiles { soft: 1_024, hard }, &config).state;
        assert_eq!([512, 4_096, 1 << 20].map(files), [State::Problem, State::Warning, State::Ok]);
        let space = |mib| enough_space("disk space", mib * MIB, Path::new("/")).state;
        assert_eq!(
            [99, 100, 1_023, 1_024].map(space),
            [State::Problem, State::Warning, State::Warning, State::Ok]
        );
    }
}

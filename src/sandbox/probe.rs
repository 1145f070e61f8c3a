//! The attacker of the self-test: a program that runs inside and tries to do what a command must not.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as LocalAddr, UnixStream};
use std::os::unix::process::parent_id;
use std::process::exit;
use std::time::Duration;
use std::{fs, ptr};

use serde::{Deserialize, Serialize};

use super::SERVED_AT;

/// What the attacker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Target {
    /// A file of the server that everybody may read, were it not for the sandbox.
    pub(super) secret: std::path::PathBuf,
    /// Where a server listens on this machine.
    pub(super) address: SocketAddr,
    /// The server's process.
    pub(super) server: i32,
    /// The namespace in which that number means something.
    pub(super) namespace: std::path::PathBuf,
    /// More processes than it may have.
    pub(super) processes: u32,
    /// More memory than it may have, and a larger file.
    pub(super) bytes: u64,
}

impl Target {
    /// A file that must not come to be.
    pub(super) fn written(&self) -> std::path::PathBuf {
        self.secret.with_extension("written")
    }
}

/// What became of one attack.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) held: bool,
    pub(super) detail: String,
}

/// Whom the attacker may try to reach from a network of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Neighbours {
    /// Where a server listens on this machine, and where it receives datagrams.
    pub(super) tcp: SocketAddr,
    pub(super) udp: SocketAddr,
    /// The name of a local socket of it that lies in no file system.
    pub(super) local: String,
}

/// What whoever serves a command's own network says to whoever connects.
pub(super) const WELCOME: &[u8] = b"welcome";

/// `attack` tries everything and says what happened, `reach` what can be tried in a network of its own; `linger`
/// leaves a process behind and never ends.
pub(super) fn run(args: &mut impl Iterator<Item = OsString>) -> ! {
    match args.next().as_deref().and_then(|verb| verb.to_str()) {
        Some("attack") => attack(),
        Some("reach") => reach(),
        Some("linger") => linger(),
        _ => exit(2),
    }
}

fn attack() -> ! {
    let target: Target = told();
    tell([
        ("works_at_all", expect(work())),
        ("reads_host_secret", refuse(fs::read(&target.secret).map(|_| "read it".to_owned()))),
        ("writes_outside", refuse(write_outside(&target))),
        ("reads_other_environments", refuse(read_environments(target.server))),
        ("own_environment_is_clean", expect(own_environment())),
        ("reaches_loopback_tcp", refuse(reach_tcp(target.address))),
        ("reaches_loopback_udp", refuse(reach_udp(target.address))),
        ("is_root", refuse(be_root())),
        ("gains_privileges", refuse(gain_privileges())),
        ("signals_the_server", refuse(signal(&target, target.server))),
        ("signals_its_supervisor", refuse(signal(&target, parent_id().cast_signed()))),
        ("makes_namespaces", refuse(make_namespace())),
        ("traces_processes", refuse(trace())),
        ("exceeds_memory", refuse(map(target.bytes))),
        ("exceeds_file_size", refuse(write_large(target.bytes))),
        ("exceeds_processes", refuse(fork_many(target.processes))),
    ])
}

fn reach() -> ! {
    let target: Neighbours = told();
    let local = LocalAddr::from_abstract_name(&target.local);
    // Whether a datagram arrives is only known where it would.
    let _ = reach_udp(target.udp);
    tell([
        ("own_network_answers", expect(hear())),
        ("own_network_reaches_host", refuse(reach_tcp(target.tcp))),
        ("own_network_reaches_others", refuse(find_route())),
        (
            "own_network_reaches_local_sockets",
            refuse(local.and_then(|name| UnixStream::connect_addr(&name)).map(|_| "connected".to_owned())),
        ),
    ])
}

fn told<T: serde::de::DeserializeOwned>() -> T {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text).ok();
    read.and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_else(|| exit(2))
}

fn tell<const N: usize>(attempts: [(&str, (bool, String)); N]) -> ! {
    let attempts: Vec<Attempt> = attempts
        .into_iter()
        .map(|(name, (held, detail))| Attempt { name: name.to_owned(), held, detail })
        .collect();
    let told = serde_json::to_writer(io::stdout(), &attempts).is_ok();
    exit(i32::from(!told))
}

/// An attack that must fail.
fn refuse(outcome: io::Result<String>) -> (bool, String) {
    outcome.map_or_else(|error| (true, error.to_string()), |done| (false, done))
}

/// Something that must succeed.
fn expect(outcome: io::Result<String>) -> (bool, String) {
    outcome.map_or_else(|error| (false, error.to_string()), |done| (true, done))
}

#[expect(unsafe_code, reason = "std does not fork")]
fn work() -> io::Result<String> {
    fs::write("probe", "x")?;
    fs::read("probe")?;
    fs::remove_file("probe")?;
    // SAFETY: the child does nothing but end, and is reaped.
    call("", || unsafe {
        match libc::fork() {
            0 => libc::_exit(0),
            child => libc::waitpid(child, ptr::null_mut(), 0).into(),
        }
    })?;
    fs::read_dir("/usr")?;
    Ok("writes to its directory and starts processes".to_owned())
}

/// Beside the secret it may seem to succeed, in a file system of its own: the server looks whether it did.
fn write_outside(target: &Target) -> io::Result<String> {
    for place in [target.written(), target.secret.clone()] {
        let _ = fs::write(place, "x");
    }
    let mut refused = io::Error::other("nowhere");
    for place in ["/etc/codeyard-probe", "/usr/codeyard-probe", "/codeyard-probe", "/dev/codeyard-probe"] {
        match fs::write(place, "x") {
            Ok(()) => {
                let _ = fs::remove_file(place);
                return Ok(format!("wrote {place}"));
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Looks into every process that it can see, and into the server's by its number.
fn read_environments(server: i32) -> io::Result<String> {
    let own = std::process::id().to_string();
    let seen = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = seen.filter_map(|entry| entry.file_name().into_string().ok());
    // In a namespace of its own the server's number is nobody's, or ours by chance.
    for pid in names.chain([server.to_string()]).filter(|name| *name != own) {
        if pid.parse::<u32>().is_ok() && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| !e.is_empty())
        {
            return Ok(format!("read that of process {pid}"));
        }
    }
    Err(io::Error::other("none is in reach"))
}

fn own_environment() -> io::Result<String> {
    const GIVEN: &[&str] = &["PATH", "HOME", "TMPDIR", "LANG"];
    match std::env::vars_os().find(|(name, _)| !GIVEN.iter().any(|given| name == given)) {
        Some((name, _)) => Err(io::Error::other(format!("{} is set", name.display()))),
        None => Ok("only what was given".to_owned()),
    }
}

fn reach_tcp(address: SocketAddr) -> io::Result<String> {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).map(|_| "connected".to_owned())
}

fn reach_udp(address: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"x", address).map(|_| "sent".to_owned())
}

/// Whoever serves the network that is its own must answer.
fn hear() -> io::Result<String> {
    let mut heard = [0; WELCOME.len()];
    TcpStream::connect(SERVED_AT)?.read_exact(&mut heard)?;
    if heard == WELCOME { Ok("was answered".to_owned()) } else { Err(io::Error::other("by somebody else")) }
}

/// Asks the kernel for a way to an address that belongs to nobody; nothing is sent.
fn find_route() -> io::Result<String> {
    UdpSocket::bind("0.0.0.0:0")?.connect("192.0.2.1:9").map(|()| "there is a way out".to_owned())
}

#[expect(unsafe_code, reason = "std does not tell the user")]
fn be_root() -> io::Result<String> {
    // SAFETY: plain queries.
    let (user, effective) = unsafe { (libc::getuid(), libc::geteuid()) };
    if user == 0 || effective == 0 {
        return Ok("is root".to_owned());
    }
    Err(io::Error::other(format!("is user {user}")))
}

#[expect(unsafe_code, reason = "std does not ask")]
fn gain_privileges() -> io::Result<String> {
    // SAFETY: a plain query.
    match unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } {
        1 => Err(io::Error::other("no new privileges")),
        _ => Ok("could through a setuid program".to_owned()),
    }
}

/// Whoever can end the server or the supervisor can outlive the run.
#[expect(unsafe_code, reason = "std only signals children that it started")]
fn signal(target: &Target, process: i32) -> io::Result<String> {
    if process_namespace().is_ok_and(|own| own != target.namespace) {
        return Err(io::Error::other("it is in another process namespace"));
    }
    // SAFETY: signal 0 does nothing but ask whether it may be sent.
    call("may signal it", || unsafe { libc::kill(process, 0).into() })
}

/// What numbers of processes mean something.
pub(super) fn process_namespace() -> io::Result<std::path::PathBuf> {
    fs::read_link("/proc/self/ns/pid")
}

/// By each of the three calls that can.
#[expect(unsafe_code, reason = "std makes no namespaces")]
fn make_namespace() -> io::Result<String> {
    // The structure of `clone3`: flags, three pointers, the signal, and what else it asks for.
    let arguments: [u64; 11] = [libc::CLONE_NEWUSER as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, 0, 0, 0];
    let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    // SAFETY: the structure outlives the call; a child that comes of it does nothing but end.
    let end = |answer: libc::c_long| unsafe {
        if answer == 0 {
            libc::_exit(0);
        }
        answer
    };
    // SAFETY: as above.
    let calls: [(&str, &dyn Fn() -> libc::c_long); 3] = [
        ("unshare", &|| unsafe { libc::unshare(libc::CLONE_NEWUSER).into() }),
        ("clone", &|| end(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })),
        ("clone3", &|| {
            end(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })
        }),
    ];
    let mut refused = io::Error::other("not tried");
    for (name, made) in calls {
        match call(name, made) {
            Ok(name) => return Ok(name),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[expect(unsafe_code, reason = "std does not trace")]
fn trace() -> io::Result<String> {
    // SAFETY: the call reads nothing that its arguments point at.
    call("may trace", || unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>())
    })
}

#[expect(unsafe_code, reason = "std does not map memory")]
fn map(bytes: u64) -> io::Result<String> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping that nobody uses.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(format!("got {bytes} bytes"))
    }
}

#[expect(unsafe_code, reason = "std does not ignore signals")]
fn write_large(bytes: u64) -> io::Result<String> {
    // SAFETY: the signal would end us before we can tell.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut file = fs::File::create("large")?;
    file.seek(SeekFrom::Start(bytes))?;
    let written = file.write_all(b"x");
    fs::remove_file("large")?;
    written.map(|()| format!("wrote a file of {bytes} bytes"))
}

/// Starts processes that wait until they are killed, up to one more than may be.
#[expect(unsafe_code, reason = "std does not fork")]
fn fork_many(limit: u32) -> io::Result<String> {
    let mut children = Vec::new();
    let mut refused = None;
    for _ in 0..=limit {
        // SAFETY: the child only waits.
        match unsafe { libc::fork() } {
            -1 => {
                refused = Some(io::Error::last_os_error());
                break;
            }
            0 => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            child => children.push(child),
        }
    }
    for child in &children {
        // SAFETY: kills and reaps a child of this process.
        unsafe {
            libc::kill(*child, libc::SIGKILL);
            libc::waitpid(*child, ptr::null_mut(), 0);
        }
    }
    refused.map_or_else(|| Ok(format!("started {}", children.len())), Err)
}

/// Leaves its session and its parent with the output still open, says so, and waits for ever, as does its
/// parent.
#[expect(unsafe_code, reason = "std does not fork")]
fn linger() -> ! {
    // SAFETY: the processes write a word and wait.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() != 0 {
                libc::_exit(0);
            }
            libc::write(1, c"ready".as_ptr().cast(), 5);
        }
        loop {
            libc::pause();
        }
    }
}

fn call(done: &str, make: impl FnOnce() -> libc::c_long) -> io::Result<String> {
    if make() < 0 { Err(io::Error::last_os_error()) } else { Ok(done.to_owned()) }
}

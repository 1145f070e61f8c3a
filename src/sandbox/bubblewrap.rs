//! The strongest level: a process, mount, network and user namespace of the command's own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Command, Network};

/// Where the init lies inside.
pub(super) const INIT: &str = "/.codeyard/init";

/// What of `/etc` programs need: how to load libraries, whom to trust, what time it is.
pub(super) const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/mime.types",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
];
/// What of it a command needs that may use the host's network.
pub(super) fn etc_network(network: &Network) -> &'static [&'static str] {
    match network {
        Network::Host => &["/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf"],
        Network::None | Network::Served(_) => &[],
    }
}
/// Programs and libraries, besides `/usr`.
pub(super) const SYSTEM: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What is on this machine.
#[derive(Clone, Debug)]
pub(super) struct Bubblewrap {
    pub(super) program: PathBuf,
    /// Whether it knows `--disable-userns` (0.8) and `--size` (0.7). Where it does not, the system call filter
    /// alone keeps the command from making namespaces.
    pub(super) is_recent: bool,
}

impl Bubblewrap {
    /// The arguments of bubblewrap up to the init. `home` holds the files `passwd`, `group` and `hosts`.
    pub(super) fn args(
        &self,
        command: &Command,
        init: &Path,
        home: &Path,
        extra: &[PathBuf],
    ) -> Vec<OsString> {
        let mut args = Args(Vec::new());
        args.flags("--unshare-all --unshare-user --die-with-parent --new-session --cap-drop ALL");
        args.flags("--hostname sandbox --proc /proc --dev /dev");
        if matches!(command.network, Network::Host) {
            args.flags("--share-net");
        }
        if self.is_recent {
            args.flags("--disable-userns");
        }
        self.tmpfs(&mut args, "/dev/shm");
        self.tmpfs(&mut args, "/tmp");
        args.bind("--ro-bind", Path::new("/usr"), Path::new("/usr"));
        for path in SYSTEM {
            args.system(Path::new(path));
        }
        for path in ETC.iter().chain(etc_network(&command.network)) {
            args.bind("--ro-bind-try", Path::new(path), Path::new(path));
        }
        let hosts = matches!(command.network, Network::Served(_)).then_some("hosts");
        for name in ["passwd", "group"].into_iter().chain(hosts) {
            args.bind("--ro-bind", &home.join(name), &Path::new("/etc").join(name));
        }
        args.bind("--ro-bind", init, Path::new(INIT));
        for path in extra {
            args.bind("--ro-bind-try", path, path);
        }
        for path in &command.readable {
            args.bind("--ro-bind", path, path);
        }
        for path in &command.writable {
            args.bind("--bind", path, path);
        }
        // The root and /dev are file systems in memory, and would be writable.
        args.flags("--remount-ro /dev --remount-ro / --chdir / --");
        args.0
    }

    fn tmpfs(&self, args: &mut Args, at: &str) {
        if self.is_recent {
            args.flags("--size 268435456");
        }
        args.flags("--tmpfs");
        args.flags(at);
    }
}

struct Args(Vec<OsString>);

impl Args {
    fn flags(&mut self, flags: &str) {
        self.0.extend(flags.split(' ').map(OsString::from));
    }

    fn bind(&mut self, how: &str, from: &Path, to: &Path) {
        self.0.extend([how.into(), from.into(), to.into()]);
    }

    /// `/bin` and its like are links into `/usr` on most systems and folders on others.
    fn system(&mut self, path: &Path) {
        match fs::read_link(path) {
            Ok(target) => self.0.extend(["--symlink".into(), target.into(), path.into()]),
            Err(_) => self.bind("--ro-bind-try", path, path),
        }
    }
}

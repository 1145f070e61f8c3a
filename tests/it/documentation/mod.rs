//! What the documents promise: every route is described, every example runs and prints what it is said to print.

mod coverage;
mod examples;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Text of a file of the project.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The real program, serving on a free port with an empty embedded database.
struct Server {
    process: Child,
    /// Host and port.
    address: String,
    admin_password: String,
}

impl Server {
    /// Starts it with its data in `dir`, and waits until it says that it listens.
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codeyard"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CODEYARD_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("data"));
        command.env("CODEYARD_LOG_FILTER", "warn").current_dir(dir);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut address, mut admin_password) = (String::new(), String::new());
        for line in lines.map_while(Result::ok) {
            if let Some((_, password)) = line.split_once(" with the password ") {
                admin_password = password.to_owned();
            }
            if let Some((_, rest)) = line.split_once(" listens on http://") {
                address = rest.split(' ').next().unwrap().to_owned();
                break;
            }
        }
        assert!(!address.is_empty() && !admin_password.is_empty(), "the server did not say where it is");
        Self { process, address, admin_password }
    }

    /// Asks it to stop, and checks that it ends well.
    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success(), "the server did not end well");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only a test that failed comes here with a server that still runs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

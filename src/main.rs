//! The program: it hands the command line and the environment to the library.

use std::process::ExitCode;

use codeyard::cli::{self, Surroundings};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else: this process is a sandbox's init, and must stay single-threaded and small.
    if args.next().is_some_and(|verb| verb == "sandbox-init") {
        codeyard::sandbox::sandbox_init(args);
    }
    cli::main(Surroundings::new(std::env::args_os(), std::env::vars_os()))
}

//! The command line.

fn main() {
    let mut args = std::env::args_os().skip(1);
    // Before anything else: this process is a sandbox's init, and must stay single-threaded and small.
    if args.next().is_some_and(|verb| verb == "sandbox-init") {
        codeyard::sandbox::sandbox_init(args);
    }
}

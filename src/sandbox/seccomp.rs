//! The system calls a command may not make.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use super::spec::{Filter, Sockets};

/// Namespaces, mounts, other processes, the kernel's own settings, and interfaces with a long list of holes.
const DENIED: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// The flags of `clone` that make a namespace.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Requests to a terminal (the C libraries do not agree on their type).
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Filters the calls of this process and of all that it becomes and starts. It must hold no new privileges.
pub(super) fn restrict(sockets: Sockets, filter: Filter) -> Result<(), String> {
    let program = program(sockets, filter).map_err(|error| error.to_string())?;
    match apply_filter(&program) {
        Err(error) if filter != Filter::IfPossible => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn program(sockets: Sockets, filter: Filter) -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().map(|number| (*number, Vec::new())).collect();
    let flags: Result<Vec<SeccompRule>, _> = NAMESPACES.iter().map(|flag| namespace(*flag)).collect();
    rules.insert(libc::SYS_clone, flags?);
    rules.insert(libc::SYS_socket, vec![other_domains(domains(sockets, filter))?]);
    // Typing into the terminal of whoever started the server.
    let typing = [TIOCSTI, TIOCLINUX].map(|request| equal(1, request));
    let typing: Result<Vec<SeccompRule>, seccompiler::BackendError> =
        typing.into_iter().map(|condition| SeccompRule::new(vec![condition?])).collect();
    rules.insert(libc::SYS_ioctl, typing?);
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let checked: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)?.try_into()?;
    Ok([unfilterable(), checked].concat())
}

/// Calls that the rules cannot see through come first, and get "no such call": `clone3` hides its flags behind
/// a pointer (the C library then uses `clone`), and the x32 twins of all calls have numbers of their own.
fn unfilterable() -> BpfProgram {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    const NO_SUCH_CALL: u32 = 0x0005_0000 | libc::ENOSYS as u32;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD, 0, 0, 0),
        step(JUMP_EQUAL, 1, 0, libc::SYS_clone3 as u32),
        step(JUMP_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, NO_SUCH_CALL),
    ]
}

/// The kinds of sockets that are let through. (`socketpair` is always: it reaches nobody else.)
fn domains(sockets: Sockets, filter: Filter) -> &'static [libc::c_int] {
    match (sockets, filter) {
        (Sockets::None, Filter::Private) => &[libc::AF_UNIX],
        (Sockets::None, Filter::Shared | Filter::IfPossible) => &[],
        (Sockets::Own, _) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        // Local sockets of the host are in sight as soon as its network is: git and curl need none.
        (Sockets::Host, _) => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    }
}

fn other_domains(allowed: &[libc::c_int]) -> Result<SeccompRule, seccompiler::BackendError> {
    let unlike = |domain: &libc::c_int| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(domain.unsigned_abs()))
    };
    let mut conditions = allowed.iter().map(unlike).collect::<Result<Vec<_>, _>>()?;
    if conditions.is_empty() {
        conditions.push(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ge, 0)?);
    }
    SeccompRule::new(conditions)
}

fn namespace(flag: libc::c_int) -> Result<SeccompRule, seccompiler::BackendError> {
    let bit = u64::from(flag.cast_unsigned());
    let set = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
    SeccompRule::new(vec![set])
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

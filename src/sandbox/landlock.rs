//! Leaves a process only the paths it was given.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::spec::{Paths, Sockets};

/// Restricts this process and all that it becomes and starts: files, and where the kernel knows how, TCP,
/// signals and abstract sockets. The self-test says what is left.
pub(super) fn restrict(paths: &Paths, sockets: Sockets) -> Result<(), String> {
    let status = ruleset(paths, sockets).and_then(RulesetCreated::restrict_self);
    match status.map_err(|error| error.to_string())?.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn ruleset(paths: &Paths, sockets: Sockets) -> Result<RulesetCreated, RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if sockets == Sockets::None {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi))?;
    }
    let created = ruleset.scope(Scope::from_all(abi))?.create()?;
    let created = allow(created, &paths.readable, AccessFs::from_read(abi))?;
    allow(created, &paths.writable, all)
}

/// Paths that are not there are left out: they need no rule.
fn allow(
    mut ruleset: RulesetCreated,
    paths: &[PathBuf],
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for path in paths {
        let Ok(fd) = PathFd::new(path) else { continue };
        let is_folder = path.is_dir();
        let access = if is_folder { access } else { access & AccessFs::from_file(ABI::V6) };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
    }
    Ok(ruleset)
}

//! The vault and what lies around it: slots, costs, who may read or write what, the runtime folder, the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_core::crypto::random::SystemRandom;
use vault_core::format::slot::{SlotKind, SlotLine};
use vault_core::keys::keyring::{Backend, KeyringError, OsKeyring, Prompts};
use vault_core::vault::LockedVault;

use super::{Finding, Run, State};
use crate::context::{Unlocker, unlock_files, unlock_sources};
use crate::escape::quoted_path;
use crate::session::{can_ask, has_passphrase, keyring, open_locked};
use crate::size::shown;
use crate::sys::probe::{self, Access};

pub(super) fn look(run: &mut Run<'_>, findings: &mut Vec<Finding>) {
    findings.push(runtime_folder(run));
    findings.push(environment(run));
    findings.extend(
        unlock_files(&run.global.unlock.options(), &run.environment, &run.config)
            .iter()
            .filter_map(|file| key_file(run, file)),
    );
    findings.extend(run.environment.own_folders().iter().filter_map(|folder| own_folder(folder)));
    let location = run.location();
    let vault = location.as_ref().ok().and_then(|location| open_locked(&location.path).ok());
    findings.extend(keyrings(vault.as_ref()));
    let Ok(location) = location else {
        findings.push(
            Finding::new("vault", State::Absent, "no vault is chosen: neither HOME nor XDG_DATA_HOME is set")
                .remedy("name one with --file or VAULT_FILE"),
        );
        return;
    };
    let path = location.path;
    match vault {
        Some(vault) => {
            findings.push(Finding::new(
                "vault",
                State::Ok,
                format!("{} ({})", quoted_path(&path), location.reason.text()),
            ));
            findings.extend([slots(&vault), kdf(&vault), way_in(run, &vault)]);
        }
        None if !path.exists() => {
            findings.push(Finding::new(
                "vault",
                State::Absent,
                format!("there is none at {}", quoted_path(&path)),
            ));
            return;
        }
        None => findings.push(
            Finding::new("vault", State::Problem, format!("{} cannot be opened", quoted_path(&path)))
                .remedy("see why: vault check"),
        ),
    }
    findings.extend(vault_file(&path));
    findings.extend(age(&path, run.now));
}

/// The keyrings of the system. A slot in one that cannot be used here does not open the vault.
fn keyrings(vault: Option<&LockedVault>) -> Vec<Finding> {
    let keyrings = OsKeyring::new(Prompts::Never).with_limit(PATIENCE);
    let finding = |backend: &Backend| {
        let store = backend.store.as_str();
        let id = if store == "keyutils" { "kernel-keyring" } else { "desktop-keyring" };
        let needs = |slot: &&SlotLine| matches!(&slot.kind, SlotKind::Keyring(sealed) if sealed.store == backend.store);
        let slot = vault.and_then(|vault| vault.slots().iter().find(needs));
        let why = match &backend.viable {
            Ok(()) => {
                return Finding::new(id, State::Ok, format!("{store} can be used: {}", backend.description));
            }
            Err(why) => why,
        };
        let Some(slot) = slot else {
            return Finding::new(
                id,
                State::Absent,
                format!("{store} cannot be used: {why}; only a slot in it needs it"),
            );
        };
        let label = slot.label.as_str();
        let remedy = match why {
            KeyringError::Denied => {
                "let the filter of system calls pass add_key, request_key and keyctl, or unlock with another slot"
            }
            KeyringError::NoBus | KeyringError::NoService => {
                "log in to the desktop whose keyring it is, or unlock with another slot"
            }
            KeyringError::Locked => "unlock the keyring, or unlock with another slot",
            _ => "unlock with another slot",
        };
        Finding::new(id, State::Warning, format!("{store} cannot be used: {why}; slot \"{label}\" needs it"))
            .remedy(remedy)
    };
    keyrings.backends(&mut SystemRandom).iter().map(finding).collect()
}

/// Where sockets and files in memory of this user go.
fn runtime_folder(run: &Run<'_>) -> Finding {
    const ID: &str = "runtime-folder";
    let user = crate::sys::host::user_number();
    let places = run
        .environment
        .runtime_folder()
        .map(Path::to_owned)
        .into_iter()
        .chain([PathBuf::from(format!("/run/user/{user}")), PathBuf::from("/tmp")]);
    let mut faults = Vec::new();
    for place in places {
        let Ok(access) = probe::access(&place) else { continue };
        let private = !(access.others_write || access.group_writes) && access.owned && !access.link;
        if !private {
            faults.push(format!("{} is writable by others, a link, or not yours", quoted_path(&place)));
        } else if !probe::may_write(&place) {
            faults.push(format!("{} is read-only", quoted_path(&place)));
        } else if faults.is_empty() {
            return Finding::new(
                ID,
                State::Ok,
                format!("an agent's socket can be in {}", quoted_path(&place)),
            );
        } else {
            return Finding::new(
                ID,
                State::Warning,
                format!("{}; {} is used", faults.join("; "), quoted_path(&place)),
            )
            .remedy("make it a folder of yours with mode 0700");
        }
    }
    faults.insert(0, "there is no place for an agent's socket".to_owned());
    Finding::new(ID, State::Warning, faults.join("; "))
        .remedy("set XDG_RUNTIME_DIR to a private folder, or VAULT_AGENT_SOCK; without an agent all commands work with --no-agent")
}

fn environment(run: &Run<'_>) -> Finding {
    const ID: &str = "environment";
    let options = run.global.unlock.options();
    let sources = unlock_sources(&options, &run.environment, &run.config);
    let held = sources.iter().find(|source| {
        matches!(source.what, Unlocker::Passphrase(_) | Unlocker::Identities(_) | Unlocker::MachineKey(_))
    });
    match held {
        Some(source) => Finding::new(
            ID,
            State::Warning,
            format!("{} holds a secret: everything that your shell starts inherits it", source.named_by),
        )
        .remedy("put it into a file with mode 0600, and name that: VAULT_PASSPHRASE_FILE, VAULT_IDENTITY_FILE or VAULT_MACHINE_KEY_FILE"),
        None => Finding::new(ID, State::Ok, "no variable of vault holds a secret"),
    }
}

/// A file that unlocks.
fn key_file(run: &Run<'_>, file: &Path) -> Option<Finding> {
    const ID: &str = "key-file";
    if file.as_os_str() == "-" {
        return None;
    }
    let path = run.folder.join(file);
    let name = quoted_path(&path);
    Some(match probe::access(&path) {
        Err(_) => {
            Finding::new(ID, State::Problem, format!("{name} is named to unlock with, and cannot be read"))
                .remedy("correct the option or variable that names it")
        }
        // Container engines put their secrets there with mode 0444, in a mount that only the container sees.
        Ok(_) if path.starts_with("/run/secrets") => {
            Finding::new(ID, State::Ok, format!("{name} is the container's"))
        }
        Ok(access)
            if access.others_read || access.group_reads || access.others_write || access.group_writes =>
        {
            Finding::new(
                ID,
                State::Problem,
                format!("{name} unlocks the vault, and others may use it (mode {:04o})", access.mode),
            )
            .remedy(format!("chmod 600 {}", path.display()))
        }
        Ok(_) => Finding::new(ID, State::Ok, format!("{name} is yours alone")),
    })
}

/// A folder with configuration or state.
fn own_folder(folder: &Path) -> Option<Finding> {
    const ID: &str = "own-folder";
    let access = probe::access(folder).ok()?;
    let name = quoted_path(folder);
    Some(if access.others_write || access.group_writes || !access.owned {
        Finding::new(
            ID,
            State::Problem,
            format!("others may change what is in {name} (mode {:04o})", access.mode),
        )
        .remedy(format!("chmod 700 {}", folder.display()))
    } else {
        Finding::new(ID, State::Ok, format!("{name} is yours to change alone"))
    })
}

fn vault_file(path: &Path) -> Vec<Finding> {
    const ID: &str = "vault-mode";
    let mut findings = Vec::new();
    let name = quoted_path(path);
    if let Ok(access) = probe::access(path) {
        let Access { others_write, group_writes, others_read, mode, .. } = access;
        findings.push(if others_write || group_writes {
            Finding::new(ID, State::Problem, format!("others may replace {name} by an older state or destroy it (mode {mode:04o})"))
                .remedy(format!("chmod go-w {}", path.display()))
        } else if others_read {
            Finding::new(ID, State::Warning, format!("others may read {name} (mode {mode:04o}): it is encrypted, but they can try passphrases at home"))
                .remedy(format!("chmod 600 {}", path.display()))
        } else {
            Finding::new(ID, State::Ok, format!("only you may read {name}"))
        });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && let Ok(access) = probe::access(folder)
        && access.others_write
    {
        findings.push(
            Finding::new(
                "vault-folder",
                State::Problem,
                format!("others may replace files in {}", quoted_path(folder)),
            )
            .remedy(format!("chmod o-w {}", folder.display())),
        );
    }
    findings
}

fn slots(vault: &LockedVault) -> Finding {
    const ID: &str = "slots";
    match vault.slots().len() {
        1 => Finding::new(
            ID,
            State::Warning,
            "there is one way to open the vault: who loses it loses the vault",
        )
        .remedy("add another: vault slot add"),
        count => Finding::new(ID, State::Ok, format!("there are {count} ways to open the vault")),
    }
}

fn kdf(vault: &LockedVault) -> Finding {
    const ID: &str = "passphrase-cost";
    let weak = vault.slots().iter().find_map(|slot| match &slot.kind {
        SlotKind::Passphrase(sealed)
            if u64::from(sealed.memory_kib) * u64::from(sealed.passes) < ENOUGH_WORK_KIB =>
        {
            Some((slot.label.as_str().to_owned(), u64::from(sealed.memory_kib) * 1024, sealed.passes))
        }
        _ => None,
    });
    match weak {
        Some((label, memory, passes)) => Finding::new(
            ID,
            State::Warning,
            format!("slot \"{label}\" costs {} and {passes} passes a try: cheap to guess", shown(memory)),
        )
        .remedy("make it again at a higher cost: vault rewrap"),
        None if has_passphrase(vault) => Finding::new(ID, State::Ok, "each try of a passphrase is costly"),
        None => Finding::new(ID, State::Ok, "no slot has a passphrase"),
    }
}

/// Whether anything would unlock the vault here.
fn way_in(run: &mut Run<'_>, vault: &LockedVault) -> Finding {
    const ID: &str = "unlocking";
    let options = run.global.unlock.options();
    let sources = unlock_sources(&options, &run.environment, &run.config);
    let asks = sources.iter().any(|source| source.what.asks());
    let names: Vec<_> = sources.iter().map(|source| source.named_by).collect();
    if keyring(run, vault).is_some() {
        return Finding::new(ID, State::Ok, "the vault would be unlocked with the OS keyring");
    }
    if !asks || can_ask(run, vault) {
        return Finding::new(ID, State::Ok, format!("the vault would be unlocked with {}", names.join(", ")));
    }
    Finding::new(ID, State::Warning, "nothing that unlocks the vault was named, and there is nobody to ask")
        .remedy("name a file: VAULT_PASSPHRASE_FILE, VAULT_IDENTITY_FILE or VAULT_MACHINE_KEY_FILE")
}

/// A vault from the future: the clock was wrong, here or where it was written.
fn age(path: &Path, now: u64) -> Option<Finding> {
    let written = path.metadata().ok()?.modified().ok()?;
    let written = written.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    (written > now + DAY).then(|| {
        Finding::new(
            "clock",
            State::Warning,
            format!("the vault was written on {}, which is to come", crate::time::shown(written)),
        )
        .remedy("set the clock")
    })
}

/// Memory times passes below which a passphrase is cheap to guess: 64 MiB three times.
const ENOUGH_WORK_KIB: u64 = 3 * 64 * 1024;
/// Keyrings that hang are not waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const DAY: u64 = 24 * 60 * 60;

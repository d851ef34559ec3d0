//! What this machine allows a process: asked of the kernel, and of Python if that is wanted. Nothing is changed.

use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mm::{MlockAllFlags, mlockall, munlockall};
use rustix::process::{Resource, getrlimit};

use crate::context::SECRET_VARIABLES;

/// Whether this process may lock memory at all.
///
/// # Errors
/// What the kernel said.
pub(crate) fn lock_memory() -> io::Result<()> {
    // Only what is allocated from now on, which is next to nothing.
    mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    munlockall()?;
    Ok(())
}

/// How many bytes this process may lock; none if there is no limit.
pub(crate) fn locking_limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// The swap devices and files in use; none if the kernel does not tell.
pub(crate) fn swaps() -> Option<Vec<String>> {
    let table = std::fs::read_to_string("/proc/swaps").ok()?;
    Some(table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Whether a filter of system calls is installed; none if the kernel does not tell.
pub(crate) fn is_filtered() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?;
    Some(mode.trim() == "2")
}

/// Whether programs of the same user may read each other's memory; none if the kernel does not tell.
pub(crate) fn may_trace() -> Option<bool> {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    Some(scope.trim() == "0")
}

/// Whether the session's bus can be reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// Nothing names one.
    None,
    /// It takes connections.
    Answers(PathBuf),
    /// There is a socket, and nobody listens, or it may not be used.
    Silent(PathBuf),
    /// Its address is not the path of a socket.
    Elsewhere,
}

/// Looks for the session's bus where its clients do.
pub(crate) fn bus(address: Option<&str>, runtime_folder: Option<&Path>) -> Bus {
    let path = match address {
        Some(address) => match address.split([';', ',']).find_map(|part| part.strip_prefix("unix:path=")) {
            Some(path) => PathBuf::from(path),
            None => return Bus::Elsewhere,
        },
        None => match runtime_folder.map(|folder| folder.join("bus")).filter(|path| path.exists()) {
            Some(path) => path,
            None => return Bus::None,
        },
    };
    match UnixStream::connect(&path) {
        Ok(_) => Bus::Answers(path),
        Err(_) => Bus::Silent(path),
    }
}

/// What there is to say about who may use a file or folder.
pub(crate) struct Access {
    /// It belongs to this user, or to root.
    pub(crate) owned: bool,
    /// Its group may read it.
    pub(crate) group_reads: bool,
    /// Its group may write it.
    pub(crate) group_writes: bool,
    /// All others may read it.
    pub(crate) others_read: bool,
    /// All others may write it, or rename what is in it.
    pub(crate) others_write: bool,
    /// It is a symbolic link.
    pub(crate) link: bool,
    /// The permissions.
    pub(crate) mode: u32,
}

/// Who may use what is at a path; a link at its end is followed for the permissions.
///
/// # Errors
/// What the system said.
pub(crate) fn access(path: &Path) -> io::Result<Access> {
    let link = path.symlink_metadata()?.file_type().is_symlink();
    let there = path.metadata()?;
    let mode = there.mode() & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    let sticky_folder = there.is_dir() && mode & 0o1000 != 0;
    let plain = there.is_dir() || there.is_file() || there.file_type().is_socket();
    Ok(Access {
        owned: [user, 0].contains(&there.uid()),
        group_reads: plain && mode & 0o040 != 0,
        group_writes: plain && mode & 0o020 != 0 && !sticky_folder,
        others_read: plain && mode & 0o004 != 0,
        others_write: plain && mode & 0o002 != 0 && !sticky_folder,
        link,
        mode,
    })
}

/// Whether this user may make files in a folder.
pub(crate) fn may_write(folder: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    // Answers for the effective user, and is false on a read-only file system.
    accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// The keyring backends that Python's `keyring` chooses here; none if there is no Python, or no `keyring` in it.
///
/// # Errors
/// What went wrong otherwise: a backend that fails, or takes too long.
pub(crate) fn python_backends() -> Result<Option<Vec<String>>, String> {
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("it took too long".to_owned());
            }
        }
    };
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = stdout.read_to_string(&mut text);
    }
    match status.code() {
        Some(0) => Ok(Some(text.lines().map(str::to_owned).collect())),
        Some(NO_KEYRING) => Ok(None),
        _ => Err("Python failed".to_owned()),
    }
}

const PYTHON: &str = "
import sys
try:
    import keyring
except ImportError:
    sys.exit(44)
chosen = keyring.get_keyring()
for one in list(getattr(chosen, 'backends', None) or [chosen]):
    print(type(one).__module__ + '.' + type(one).__qualname__)
";
const NO_KEYRING: i32 = 44;
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_found_by_its_address_or_beside_the_runtime_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        assert_eq!(bus(None, Some(folder.path())), Bus::None);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(bus(None, Some(folder.path())), Bus::Answers(path.clone()));
        let address = format!("unix:path={},guid=0123", path.display());
        assert_eq!(bus(Some(&address), None), Bus::Answers(path.clone()));
        drop(listener);
        assert_eq!(bus(Some(&address), None), Bus::Silent(path));
        assert_eq!(bus(Some("tcp:host=localhost"), None), Bus::Elsewhere);
    }

    #[test]
    fn permissions_for_others_are_seen_and_a_sticky_folder_is_no_hole() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let with = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            access(folder.path()).unwrap()
        };
        assert!(with(0o777).others_write && with(0o755).others_read && with(0o770).group_writes);
        assert!(!with(0o1777).others_write && !with(0o700).others_read && with(0o700).owned);
    }
}

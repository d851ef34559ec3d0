//! Disks that are full, folders that may not be written, mounted files, links, and what somebody planted.
//!
//! Mounts need root. A test that cannot mount says so and fails, unless VAULT_TESTS_WITHOUT_ROOT is set.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::program::{Home, names, program};

#[test]
fn a_full_disk_keeps_the_old_vault_and_says_so() {
    let home = Home::empty();
    let Some(_mount) = Mount::tmpfs(&home.work(), "size=256k") else { return };
    let made = home.vault(["init", "--machine"]).ok();
    fs::write(home.key(), &made.stdout).unwrap();
    home.set("a", "old");
    let mut filled = 0;
    // Fills up with entries until a save fails, then with one that is far too large.
    for number in 0..1000 {
        let ended = home.vault(["set", &format!("n{number}")]).stdin(vec![b'x'; 4000]).end();
        if !ended.status.success() {
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(
                ended.stderr.contains("no space left") && ended.stderr.contains("nothing was saved"),
                "{ended:?}"
            );
            break;
        }
        filled += 1;
    }
    assert!((1..1000).contains(&filled), "{filled}");
    let ended = home.vault(["set", "big"]).stdin(vec![b'y'; 1 << 20]).exits(1);
    assert!(ended.stderr.contains("no space left"), "{ended:?}");
    let path = home.beside("many.env");
    fs::write(&path, (0..2000).map(|n| format!("K{n}={n}\n")).collect::<String>()).unwrap();
    home.vault(["import".as_ref(), path.as_os_str()]).exits(1).says("no space left");
    assert_eq!(home.names(), ["secrets.vault"]);
    home.check();
    assert_eq!(home.get("a"), b"old");
    assert_eq!(home.vault(["list"]).ok().lines().len(), filled + 1);
    // Reading and another place still work; room made elsewhere is enough to go on.
    fs::write(home.work().join("other"), b"").unwrap();
    home.vault(["get", "n0", "-o", "out"]).end();
    assert_eq!(home.get("n0"), vec![b'x'; 4000]);
}

#[test]
fn a_file_system_without_inodes_keeps_the_old_vault() {
    let home = Home::empty();
    let Some(_mount) = Mount::tmpfs(&home.work(), "nr_inodes=2") else { return };
    // The folder and one file: there is none for the temporary file.
    let ended = home.vault(["init", "--machine"]).end();
    if ended.status.success() {
        fs::write(home.key(), &ended.stdout).unwrap();
        home.vault(["set", "a"]).stdin("x").exits(1).says("no space left");
        home.check();
        assert_eq!(home.names(), ["secrets.vault"]);
    } else {
        assert!(ended.stderr.contains("no space left"), "{ended:?}");
        assert!(home.names().is_empty());
    }
}

#[test]
fn a_read_only_file_system_is_named() {
    let home = Home::empty();
    let Some(mount) = Mount::tmpfs(&home.work(), "size=1m") else { return };
    let made = home.vault(["init", "--machine"]).ok();
    fs::write(home.key(), &made.stdout).unwrap();
    home.set("a", "old");
    mount.remount_read_only();
    home.vault(["set", "a"]).stdin("new").exits(1).says("the file system is read-only");
    home.vault(["init", "--machine", "--file", "b"]).exits(1).says("the file system is read-only");
    assert_eq!((home.get("a"), home.names()), (b"old".to_vec(), vec!["secrets.vault".to_owned()]));
    home.check();
}

#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let home = Home::with_vault();
    home.set("a", "old");
    let nobody = unprivileged(&home);
    fs::set_permissions(home.work(), fs::Permissions::from_mode(0o555)).unwrap();
    let ended = home.vault(["set", "a"]).stdin("new").under(&nobody).exits(1);
    assert!(ended.stderr.contains("the folder may not be written to"), "{ended:?}");
    assert!(ended.stderr.contains("nothing was saved"), "{ended:?}");
    let read = home.vault(["get", "a"]).under(&nobody).ok();
    assert_eq!(read.stdout, b"old");
    home.vault(["init", "--machine", "--file", "b"]).under(&nobody).exits(1);

    // A file that may not be read is not said to be missing.
    fs::set_permissions(home.work(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o000)).unwrap();
    home.vault(["get", "a"]).under(&nobody).exits(1).says("permission denied");
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!((home.get("a"), home.names()), (b"old".to_vec(), vec!["secrets.vault".to_owned()]));
}

#[test]
fn a_mounted_single_file_says_to_mount_the_folder() {
    let home = Home::with_vault();
    home.set("a", "old");
    let target = home.work().join("mounted.vault");
    fs::write(&target, b"").unwrap();
    let Some(_mount) = Mount::bind(&home.file(), &target) else { return };
    let ended = home.vault(["set", "a", "--file", "mounted.vault"]).stdin("new").exits(1);
    assert!(ended.stderr.contains("the file itself is mounted"), "{ended:?}");
    assert!(ended.stderr.contains("hint: mount its folder instead"), "{ended:?}");
    assert_eq!(home.vault(["get", "a", "--file", "mounted.vault"]).ok().stdout, b"old");
    assert_eq!(home.names(), ["mounted.vault", "secrets.vault"]);
}

#[test]
fn a_symlinked_vault_keeps_its_link() {
    let home = Home::with_vault();
    let far = home.beside("far");
    fs::create_dir(&far).unwrap();
    fs::rename(home.file(), far.join("real.vault")).unwrap();
    symlink("../far/link.vault", home.file()).unwrap();
    symlink("real.vault", far.join("link.vault")).unwrap();
    fs::set_permissions(far.join("real.vault"), fs::Permissions::from_mode(0o640)).unwrap();
    home.set("a", "new");
    assert_eq!(home.get("a"), b"new");
    assert_eq!(fs::read_link(home.file()).unwrap(), Path::new("../far/link.vault"));
    assert_eq!(fs::read_link(far.join("link.vault")).unwrap(), Path::new("real.vault"));
    assert_eq!(fs::metadata(far.join("real.vault")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(
        (home.names(), names(&far)),
        (vec!["secrets.vault".to_owned()], vec!["link.vault".to_owned(), "real.vault".to_owned()])
    );

    fs::remove_file(far.join("real.vault")).unwrap();
    home.vault(["get", "a"]).exits(3).says("no vault at");
    home.vault(["init", "--machine"]).exits(7);
    assert!(!far.join("real.vault").exists());
}

#[test]
fn what_is_planted_at_the_temporary_name_is_never_followed() {
    let home = Home::with_vault();
    home.set("a", "old");
    let (temp, victim) = (home.work().join(".secrets.vault.new"), home.beside("victim"));
    fs::write(&victim, b"precious").unwrap();
    // A link to a file, a dangling one, a file, and one with another name: all are removed, and none is written.
    symlink(&victim, &temp).unwrap();
    home.set("a", "1");
    symlink(home.beside("nowhere"), &temp).unwrap();
    home.set("a", "2");
    fs::hard_link(&victim, &temp).unwrap();
    home.set("a", "3");
    rustix_fifo(&temp);
    home.set("a", "4");
    fs::write(&temp, b"the leftover of a killed process").unwrap();
    home.set("a", "5");
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!home.beside("nowhere").exists());
    assert_eq!((home.get("a"), home.names()), (b"5".to_vec(), vec!["secrets.vault".to_owned()]));

    // A folder is not removed: somebody has to look at it.
    fs::create_dir(&temp).unwrap();
    home.vault(["set", "a"]).stdin("6").exits(1).says("a folder has the name of the temporary file");
    assert_eq!(home.get("a"), b"5");
    fs::remove_dir(&temp).unwrap();
    home.check();
}

#[test]
fn a_vault_with_two_names_is_not_torn_apart() {
    let home = Home::with_vault();
    home.set("a", "old");
    fs::hard_link(home.file(), home.beside("second")).unwrap();
    home.vault(["set", "a"]).stdin("new").exits(1).says("hard links");
    assert_eq!(home.get("a"), b"old");
}

#[test]
fn output_files_are_new_private_and_complete() {
    let home = Home::with_vault();
    home.set("a", "value");
    home.vault(["get", "a", "-o", "out"]).ok();
    assert_eq!(fs::read(home.work().join("out")).unwrap(), b"value");
    assert_eq!(fs::metadata(home.work().join("out")).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(home.beside("victim"), b"precious").unwrap();
    symlink(home.beside("victim"), home.work().join("link")).unwrap();
    home.vault(["get", "a", "-o", "out"]).exits(7).says("it exists already");
    home.vault(["get", "a", "-o", "link"]).exits(7);
    home.vault(["get", "a", "-o", "no/such/folder"]).exits(1).says("the folder does not exist");
    home.vault(["export", "-o", "link", "--yes"]).exits(1).says("a symbolic link");
    assert_eq!(fs::read(home.beside("victim")).unwrap(), b"precious");
    assert_eq!(home.names(), ["link", "out", "secrets.vault"]);
}

/// Words that start a program as a user without rights, who owns the home and can run the program.
fn unprivileged(home: &Home) -> Vec<std::ffi::OsString> {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return vec!["env".into()];
    }
    // The build may lie where only root can go.
    let copy = home.beside("vault");
    fs::copy(program(), &copy).unwrap();
    for path in [home.work(), home.key(), home.file(), copy.clone(), home.beside(".")] {
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let number = NOBODY.to_string();
    let mut words: Vec<std::ffi::OsString> = [
        "setpriv",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--reuid",
        &number,
        "--regid",
        &number,
    ]
    .iter()
    .map(Into::into)
    .collect();
    // Takes the place of the program that the run names.
    words.extend(["sh".into(), "-c".into(), "shift; exec \"$0\" \"$@\"".into(), copy.into_os_string()]);
    words
}

fn rustix_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A mount, as long as it lives.
pub(crate) struct Mount {
    target: std::path::PathBuf,
}

impl Mount {
    pub(crate) fn tmpfs(target: &Path, options: &str) -> Option<Self> {
        Self::new(
            &["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "tmpfs".as_ref()],
            target,
        )
    }

    fn bind(source: &Path, target: &Path) -> Option<Self> {
        Self::new(&["--bind".as_ref(), source.as_os_str()], target)
    }

    fn new(arguments: &[&std::ffi::OsStr], target: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(target).output().unwrap();
        if mounted.status.success() {
            return Some(Self { target: target.to_owned() });
        }
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(
            std::env::var_os("VAULT_TESTS_WITHOUT_ROOT").is_some(),
            "cannot mount, which needs root: {why}; to leave such tests out, set VAULT_TESTS_WITHOUT_ROOT=1"
        );
        eprintln!("SKIPPED: cannot mount, which needs root: {why}");
        None
    }

    fn remount_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.target).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that was killed may still be going away.
        let _ = Command::new("umount").arg("-l").arg(&self.target).status();
    }
}

const NOBODY: u32 = 65534;

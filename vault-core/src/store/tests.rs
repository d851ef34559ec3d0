//! What the store promises, on a real file system.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;
use crate::source::{Source, Text};

fn text(bytes: &[u8]) -> Text {
    let mut text = Text::new();
    text.push(bytes);
    text
}

fn folder_with_vault() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.vault");
    create(&path, &text(b"old"), 0o600).unwrap();
    (folder, path)
}

fn bytes_of(source: &dyn Source) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Runs without root's right to ignore permissions.
fn as_ordinary_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    without(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH, work)
}

/// Runs in a thread that lacks some of root's rights.
fn without<T: Send>(rights: CapabilitySet, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut sets = capabilities(None).unwrap();
                sets.effective -= rights;
                set_capabilities(None, sets).unwrap();
                work()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn replacing_gives_the_new_text_and_leaves_no_litter() {
    let (folder, path) = folder_with_vault();
    let before = read(&path).unwrap();
    let lock = lock(&path).unwrap();
    let old = shared(lock.snapshot().unwrap());
    let mut new = Text::new();
    new.copy(&old, 0..old.len());
    new.push(*b" and new");
    assert_eq!(bytes_of(&lock.replace(&new).unwrap()), b"old and new");
    assert_eq!(fs::read(&path).unwrap(), b"old and new");
    assert_eq!(bytes_of(&before), b"old", "a reader keeps what it opened");
    assert!(!before.has_changed().unwrap());
    assert!(!before.is_same(&read(&path).unwrap()));
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

#[test]
fn a_file_whose_times_were_set_back_was_touched() {
    let (_folder, path) = folder_with_vault();
    let before = read(&path).unwrap();
    assert!(before.is_at(&path) && read(&path).unwrap().is_untouched_since(&before));
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&path, b"new").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let after = read(&path).unwrap();
    assert!(after.is_same(&before), "as long as before, and as old");
    assert!(!before.is_at(&path) && !after.is_untouched_since(&before));
}

#[test]
fn a_lock_ends_with_its_owner_even_while_snapshots_live() {
    let (_folder, path) = folder_with_vault();
    let held = lock(&path).unwrap();
    let snapshot = held.snapshot().unwrap();
    let since = Instant::now();
    assert!(matches!(lock_within(&path, Duration::from_millis(60)), Err(StoreError::Busy)));
    assert!(since.elapsed() >= Duration::from_millis(60));
    drop(held);
    let again = lock_within(&path, Duration::ZERO).unwrap();
    let new = again.replace(&text(b"new")).unwrap();
    lock_within(&path, Duration::ZERO).unwrap();
    assert_eq!((bytes_of(&snapshot), bytes_of(&new)), (b"old".to_vec(), b"new".to_vec()));
}

#[test]
fn a_change_in_place_is_noticed() {
    let (_folder, path) = folder_with_vault();
    let snapshot = read(&path).unwrap();
    let lock = lock(&path).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"!").unwrap();
    assert!(snapshot.has_changed().unwrap());
    assert!(matches!(lock.replace(&text(b"new")), Err(ReplaceError::ChangedMeanwhile)));
    assert_eq!(fs::read(&path).unwrap(), b"old!");
}

#[test]
fn a_file_put_in_place_by_another_program_is_not_overwritten() {
    let (folder, path) = folder_with_vault();
    let lock = lock(&path).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "git's").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(matches!(lock.replace(&text(b"new")), Err(ReplaceError::ChangedMeanwhile)));
    assert_eq!(fs::read(&path).unwrap(), b"git's");
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

/// Without the comparison after the lock, the waiter gets the lock on the file that is no longer there.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_on_a_replaced_file_does_not_count() {
    let (folder, path) = folder_with_vault();
    let holder = File::open(&path).unwrap();
    holder.lock().unwrap();
    let waits_for = format!(":{} ", holder.metadata().unwrap().ino());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| bytes_of(&lock(&path).unwrap().snapshot().unwrap()));
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_waiting = |line: &str| line.contains("->") && line.contains(&waits_for);
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(is_waiting) {
            assert!(Instant::now() < deadline, "nobody waits for the lock");
            std::thread::sleep(Duration::from_millis(1));
        }
        let other = folder.path().join("other");
        fs::write(&other, "replaced").unwrap();
        fs::rename(&other, &path).unwrap();
        holder.unlock().unwrap();
        assert_eq!(waiter.join().unwrap(), b"replaced");
    });
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_replaced() {
    let (folder, path) = folder_with_vault();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.vault");
    symlink(&path, &link).unwrap();
    lock(&link).unwrap().replace(&text(b"new")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
    assert_eq!(names_in(elsewhere.path()), ["link.vault"]);
}

#[test]
fn mode_is_kept_even_if_it_forbids_writing() {
    for mode in [0o600, 0o640, 0o644, 0o400] {
        let (_folder, path) = folder_with_vault();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        as_ordinary_user(|| lock(&path).unwrap().replace(&text(b"new")).unwrap());
        assert_eq!(mode_of(&path), mode);
        assert_eq!(read(&path).unwrap().mode(), mode);
    }
}

/// Only root can give files away, so only root can see them kept.
#[test]
fn owner_is_kept_or_the_new_group_gets_no_more_than_everybody() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_folder, path) = folder_with_vault();
    std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let state = |path: &Path| {
        let now = fs::metadata(path).unwrap();
        (now.uid(), now.gid(), mode_of(path))
    };
    lock(&path).unwrap().replace(&text(b"new")).unwrap();
    assert_eq!(state(&path), (1234, 4321, 0o664));
    without(CapabilitySet::CHOWN, || lock(&path).unwrap().replace(&text(b"newer")).unwrap());
    assert_eq!(state(&path), (0, 0, 0o644));
}

#[test]
fn only_regular_files_are_opened() {
    let (folder, _) = folder_with_vault();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for attempt in [|path: &Path| read(path).err(), |path: &Path| lock(path).err()] {
        assert!(matches!(attempt(&fifo), Some(StoreError::NotRegular(FileKind::Fifo))));
        assert!(matches!(attempt(&socket), Some(StoreError::NotRegular(FileKind::Socket))));
        assert!(matches!(attempt(Path::new("/dev/zero")), Some(StoreError::NotRegular(FileKind::Device))));
        assert!(matches!(attempt(folder.path()), Some(StoreError::IsDirectory)));
        assert!(matches!(attempt(Path::new("/")), Some(StoreError::IsDirectory)));
        assert!(matches!(attempt(&folder.path().join("none")), Some(StoreError::NotFound)));
        assert!(matches!(attempt(&fifo.join("below")), Some(StoreError::NotFound)));
    }
}

#[test]
fn files_and_texts_over_the_limit_are_refused() {
    let (folder, path) = folder_with_vault();
    let huge = folder.path().join("huge");
    File::create(&huge).unwrap().set_len(MAX_FILE + 1).unwrap();
    assert!(matches!(read(&huge), Err(StoreError::TooLarge { .. })));
    File::options().write(true).open(&huge).unwrap().set_len(MAX_FILE).unwrap();
    let source = shared(read(&huge).unwrap());
    let mut new = text(b"!");
    new.copy(&source, 0..source.len());
    assert!(matches!(lock(&path).unwrap().replace(&new), Err(ReplaceError::TooLarge { .. })));
    assert_eq!(names_in(folder.path()), ["huge", "secrets.vault"]);
}

#[test]
fn an_unreadable_file_is_said_to_be_unreadable() {
    let (_folder, path) = folder_with_vault();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    as_ordinary_user(|| {
        assert!(matches!(read(&path), Err(StoreError::PermissionDenied(_))));
        assert!(matches!(lock(&path), Err(StoreError::PermissionDenied(_))));
    });
}

#[test]
fn a_leftover_of_a_killed_save_is_removed() {
    let (folder, path) = folder_with_vault();
    fs::write(folder.path().join(".secrets.vault.new"), "half a text").unwrap();
    lock(&path).unwrap().replace(&text(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

#[test]
fn a_link_planted_at_the_temporary_name_is_not_followed() {
    let (folder, path) = folder_with_vault();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, folder.path().join(".secrets.vault.new")).unwrap();
    lock(&path).unwrap().replace(&text(b"new")).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(names_in(folder.path()), ["secrets.vault", "victim"]);
}

#[test]
fn a_folder_at_the_temporary_name_is_refused() {
    let (folder, path) = folder_with_vault();
    fs::create_dir(folder.path().join(".secrets.vault.new")).unwrap();
    assert!(matches!(lock(&path).unwrap().replace(&text(b"new")), Err(ReplaceError::TempBlocked)));
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_file_with_two_names_is_refused() {
    let (folder, path) = folder_with_vault();
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    assert!(matches!(lock(&path).unwrap().replace(&text(b"new")), Err(ReplaceError::HardLinks(2))));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names_in(folder.path()), ["second", "secrets.vault"]);
}

#[test]
fn a_read_only_folder_is_refused() {
    let (folder, path) = folder_with_vault();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    as_ordinary_user(|| {
        assert!(matches!(lock(&path).unwrap().replace(&text(b"new")), Err(ReplaceError::FolderDenied(_))));
        let new = folder.path().join("new.vault");
        assert!(matches!(create(&new, &text(b"new"), 0o600), Err(ReplaceError::FolderDenied(_))));
        assert!(matches!(spool(&path), Err(ReplaceError::FolderDenied(_))));
    });
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

fn shared(source: impl Source + 'static) -> Arc<dyn Source> {
    Arc::new(source)
}

/// A source that ends earlier than it says.
struct Liar;

impl Source for Liar {
    fn len(&self) -> u64 {
        100
    }

    fn read_exact_at(&self, _: &mut [u8], _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn a_text_that_cannot_be_read_to_its_end_changes_nothing() {
    let (folder, path) = folder_with_vault();
    let mut new = text(b"new");
    new.copy(&shared(Liar), 0..100);
    assert!(matches!(lock(&path).unwrap().replace(&new), Err(ReplaceError::Io(_))));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

#[test]
fn eight_writers_lose_nothing() {
    const WRITERS: usize = 8;
    const WRITES: usize = 60;
    let (folder, path) = folder_with_vault();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let path = &path;
            scope.spawn(move || {
                for write in 0..WRITES {
                    let lock = lock(path).unwrap();
                    let old = shared(lock.snapshot().unwrap());
                    let mut new = Text::new();
                    new.copy(&old, 0..old.len());
                    new.push(format!("\n{writer} {write}"));
                    lock.replace(&new).unwrap();
                }
            });
        }
    });
    let all = fs::read_to_string(&path).unwrap();
    for writer in 0..WRITERS {
        let own: Vec<_> = all.lines().filter_map(|line| line.strip_prefix(&format!("{writer} "))).collect();
        assert_eq!(own, (0..WRITES).map(|write| write.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

#[test]
fn readers_never_see_a_mixed_text() {
    const LENGTH: usize = 20_000;
    let (_folder, path) = folder_with_vault();
    lock(&path).unwrap().replace(&text(&[0; LENGTH])).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    let bytes = bytes_of(&read(&path).unwrap());
                    assert_eq!(bytes.len(), LENGTH);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                    reads += 1;
                }
                reads
            })
        });
        for round in 0..500_u32 {
            lock(&path).unwrap().replace(&text(&[round.to_le_bytes()[0]; LENGTH])).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(readers.map(|reader| reader.join().unwrap()).iter().all(|reads| *reads > 0));
    });
}

#[test]
fn of_racing_creations_exactly_one_wins() {
    const RACERS: usize = 6;
    for round in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.vault");
        if round % 2 == 1 {
            fs::write(folder.path().join(".secrets.vault.new"), "leftover").unwrap();
        }
        let start = Barrier::new(RACERS);
        let won: Vec<usize> = std::thread::scope(|scope| {
            let (start, path) = (&start, &path);
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    scope.spawn(move || {
                        start.wait();
                        match create(path, &text(racer.to_string().as_bytes()), 0o600) {
                            Ok(_) => Some(racer),
                            Err(ReplaceError::AlreadyExists) => None,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), won[0].to_string());
        assert_eq!(names_in(folder.path()), ["secrets.vault"]);
        assert_eq!(mode_of(&path), 0o600);
    }
}

#[test]
fn creating_never_replaces_anything() {
    let (folder, path) = folder_with_vault();
    let dangling = folder.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    for taken in [&path, &dangling, &folder.path().to_owned()] {
        assert!(matches!(create(taken, &text(b"new"), 0o600), Err(ReplaceError::AlreadyExists)));
    }
    let astray = folder.path().join("none/secrets.vault");
    assert!(matches!(create(&astray, &text(b"new"), 0o600), Err(ReplaceError::NoFolder(_))));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names_in(folder.path()), ["dangling", "secrets.vault"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_spool_has_no_name_and_reads_back() {
    for folder in [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
        let names = names_in(folder.path());
        let mut spool = spool(&folder.path().join("secrets.vault")).unwrap();
        spool.write_all(b"cipher").unwrap();
        spool.write_all(b"text").unwrap();
        assert_eq!(bytes_of(&spool), b"ciphertext");
        assert!(spool.read_exact_at(&mut [0], spool.len()).is_err());
        assert_eq!(names_in(folder.path()), names);
    }
}

#[test]
fn a_file_is_written_at_once_or_not_at_all() {
    let (folder, path) = folder_with_vault();
    let out = folder.path().join("out");
    let put = |path: &Path, existing| write_file(path, 0o640, existing, |out| Ok(out.write_all(b"content")?));
    put(&out, Existing::Keep).unwrap();
    assert_eq!((fs::read(&out).unwrap(), mode_of(&out)), (b"content".to_vec(), 0o640));
    assert!(matches!(put(&out, Existing::Keep), Err(ReplaceError::AlreadyExists)));
    put(&out, Existing::Replace).unwrap();
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(put(&link, Existing::Replace), Err(ReplaceError::NotRegular(FileKind::Symlink))));
    assert!(matches!(
        put(Path::new("/dev/null"), Existing::Replace),
        Err(ReplaceError::NotRegular(FileKind::Device))
    ));
    assert!(matches!(put(folder.path(), Existing::Replace), Err(ReplaceError::IsDirectory)));
    let failed = write_file(&out, 0o600, Existing::Replace, |out| {
        out.write_all(b"half").map_err(ReplaceError::from)?;
        Err(ReplaceError::Outside)
    });
    assert!(matches!(failed, Err(ReplaceError::Outside)));
    assert_eq!(fs::read(&out).unwrap(), b"content");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names_in(folder.path()), ["link", "out", "secrets.vault"]);
}

#[test]
fn a_removed_file_is_gone_and_a_link_is_not_removed() {
    let (folder, path) = folder_with_vault();
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(remove_file(&link), Err(ReplaceError::NotRegular(_))));
    remove_file(&path).unwrap();
    assert_eq!(names_in(folder.path()), ["link"]);
}

#[test]
fn nothing_below_a_root_leads_out_of_it() {
    let (outside, victim) = folder_with_vault();
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_or_create(&folder.path().join("root")).unwrap();
    let put = |name: &str| {
        dir.write_file(Path::new(name), 0o600, Existing::Replace, |out| Ok(out.write_all(b"content")?))
    };
    put("a/b/c").unwrap();
    let root = folder.path().join("root");
    assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"content");
    assert_eq!(mode_of(&root.join("a/b")), 0o700);
    for name in ["", "/", "/etc/x", "..", "../x", "a/../../x", ".", "a/./x", "a//x", "a/", "x/.."] {
        assert!(matches!(put(name), Err(ReplaceError::Outside)), "{name}");
    }
    symlink(outside.path(), root.join("planted")).unwrap();
    symlink(&victim, root.join("file")).unwrap();
    assert!(matches!(put("planted/secrets.vault"), Err(ReplaceError::NotAFolder)));
    assert!(matches!(put("a/b/c/d"), Err(ReplaceError::NotAFolder)));
    assert!(matches!(put("file"), Err(ReplaceError::NotRegular(FileKind::Symlink))));
    assert_eq!(fs::read(&victim).unwrap(), b"old");
    assert_eq!(names_in(outside.path()), ["secrets.vault"]);
    assert_eq!(names_in(folder.path()), ["root"]);
}

#[test]
fn without_nameless_files_a_spool_loses_its_name_at_once() {
    let (folder, path) = folder_with_vault();
    let mut file = spool::unlinked(&folder::Place::of(&path).unwrap()).unwrap();
    file.write_all(b"ciphertext").unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    assert_eq!(names_in(folder.path()), ["secrets.vault"]);
}

#[test]
fn without_renaming_to_a_free_name_a_link_never_replaces_either() {
    let (folder, path) = folder_with_vault();
    let place = folder::Place::of(&path).unwrap();
    let temp = || temp::Temp::fixed(&place.folder, ".temp".into()).unwrap();
    let taken = temp().link_new("secrets.vault".as_ref());
    assert!(matches!(taken, Err(ReplaceError::AlreadyExists)));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    temp().link_new("free".as_ref()).unwrap();
    assert_eq!(names_in(folder.path()), ["free", "secrets.vault"]);
    assert_eq!(fs::metadata(folder.path().join("free")).unwrap().nlink(), 1);
}

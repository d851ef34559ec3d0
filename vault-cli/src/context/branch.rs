//! Which git branch a vault's file belongs to: read from git's own files, without starting git.

use std::path::{Path, PathBuf};

use vault_core::store;

use super::work_tree;

/// What a vault's state is compared within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Branch {
    /// The file is in no git work tree.
    Outside,
    /// The branch that is checked out, without `refs/heads/`.
    On(Vec<u8>),
    /// No branch is checked out, or git is in the middle of a merge, a rebase or the like: any state may be meant.
    Unsettled,
}

impl Branch {
    /// The branch of the file at this path. Links on it are not followed: a work tree is one that the path itself is in.
    pub(crate) fn of(path: &Path) -> Self {
        let Some(root) = path.parent().and_then(work_tree) else { return Self::Outside };
        let Some(folder) = git_folder(root) else { return Self::Unsettled };
        if IN_THE_MIDDLE.iter().any(|name| folder.join(name).symlink_metadata().is_ok()) {
            return Self::Unsettled;
        }
        match store::read_small(&folder.join("HEAD"), LONGEST) {
            Ok(head) => on(&head),
            Err(_) => Self::Unsettled,
        }
    }

    /// As pins name it; none if nothing is compared.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Outside => Some(b""),
            Self::On(name) => Some(name),
            Self::Unsettled => None,
        }
    }
}

fn on(head: &[u8]) -> Branch {
    match head.trim_ascii_end().strip_prefix(b"ref: refs/heads/") {
        // With reftable, this is what HEAD has for programs that read files.
        Some(b".invalid" | b"") | None => Branch::Unsettled,
        Some(name) => Branch::On(name.to_vec()),
    }
}

/// `.git` is a folder, or a file that names one in a linked work tree or a submodule.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let path = root.join(".git");
    if path.is_dir() {
        return Some(path);
    }
    let text = store::read_small(&path, LONGEST).ok()?;
    let named = text.trim_ascii_end().strip_prefix(b"gitdir: ")?;
    let named = std::str::from_utf8(named).ok()?;
    Some(root.join(named))
}

/// Most bytes of `HEAD` and of `.git`: a path, or the name of a branch.
const LONGEST: u64 = 8 << 10;
/// What stands in git's folder while it waits for the user.
const IN_THE_MIDDLE: [&str; 7] = [
    "MERGE_HEAD",
    "rebase-merge",
    "rebase-apply",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_LOG",
    "sequencer",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_branch_is_what_head_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let vault = root.join("deep/secrets.vault");
        fs::create_dir(root.join("deep")).unwrap();
        assert_eq!(Branch::of(&vault), Branch::Outside);
        let git = root.join(".git");
        fs::create_dir(&git).unwrap();
        assert_eq!(Branch::of(&vault), Branch::Unsettled, "without HEAD");
        for (head, branch) in [
            ("ref: refs/heads/main\n", Branch::On(b"main".to_vec())),
            ("ref: refs/heads/a/b", Branch::On(b"a/b".to_vec())),
            ("ref: refs/heads/.invalid\n", Branch::Unsettled),
            ("0123456789012345678901234567890123456789\n", Branch::Unsettled),
            ("ref: refs/remotes/x\n", Branch::Unsettled),
            ("", Branch::Unsettled),
        ] {
            fs::write(git.join("HEAD"), head).unwrap();
            assert_eq!(Branch::of(&vault), branch, "{head}");
        }
    }

    #[test]
    fn in_the_middle_of_something_there_is_no_branch() {
        let folder = tempfile::tempdir().unwrap();
        let vault = folder.path().join("secrets.vault");
        let git = folder.path().join(".git");
        fs::create_dir(&git).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        for name in IN_THE_MIDDLE {
            fs::write(git.join(name), "").unwrap();
            assert_eq!(Branch::of(&vault), Branch::Unsettled, "{name}");
            fs::remove_file(git.join(name)).unwrap();
        }
        assert_eq!(Branch::of(&vault), Branch::On(b"main".to_vec()));
    }

    #[test]
    fn a_linked_work_tree_and_a_submodule_have_heads_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("main/.git/worktrees/x");
        fs::create_dir_all(&elsewhere).unwrap();
        fs::write(elsewhere.join("HEAD"), "ref: refs/heads/side\n").unwrap();
        let linked = folder.path().join("linked");
        fs::create_dir(&linked).unwrap();
        for named in [elsewhere.to_str().unwrap(), "../main/.git/worktrees/x"] {
            fs::write(linked.join(".git"), format!("gitdir: {named}\n")).unwrap();
            assert_eq!(Branch::of(&linked.join("secrets.vault")), Branch::On(b"side".to_vec()), "{named}");
        }
        fs::write(linked.join(".git"), "nonsense").unwrap();
        assert_eq!(Branch::of(&linked.join("secrets.vault")), Branch::Unsettled);
    }
}

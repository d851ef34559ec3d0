//! Words for what goes wrong between a vault and git.

use std::ffi::OsStr;
use std::path::Path;

use vault_core::error::EditError;
use vault_core::vault::merge::MergeError;

use super::Message;
use super::catalogue::{self as kinds};
use super::session;
use super::text::{caused, word};
use crate::escape::{counted, escaped, quoted, quoted_path};
use crate::failure::{GitFailure, Stopped};

/// What is said.
pub(super) fn message(failure: &GitFailure) -> Message {
    match failure {
        GitFailure::NotStarted(error) => caused(kinds::GIT_FAILED, "cannot run git", error),
        GitFailure::Refused { verb, said } => {
            Message::new(kinds::GIT_FAILED, format!("git {} failed: {}", escaped(verb), escaped(said)))
        }
        GitFailure::NoRepository(folder) => {
            Message::new(kinds::NO_REPOSITORY, format!("{} is in no git repository", quoted_path(folder)))
                .hint("make one with: git init")
        }
        GitFailure::NotInConflict(path) => Message::new(
            kinds::NOTHING_TO_MERGE,
            format!("there is nothing to merge: git reports no conflict in {}", quoted_path(path)),
        )
        .hint("to merge two files, name them: vault merge [BASE] OURS THEIRS")
        .hint("to settle entries that a merge left in conflict: vault resolve"),
        GitFailure::SideRemoved(path) => Message::new(
            kinds::NOTHING_TO_MERGE,
            format!("cannot merge {}: one side removed or renamed the file", quoted_path(path)),
        )
        .hint(format!("keep it with: git add {}; or go back with: git merge --abort", file(path))),
        GitFailure::NoCommit(revision) => {
            Message::new(kinds::COMMIT_NOT_FOUND, format!("git knows no commit {}", quoted(revision)))
        }
        GitFailure::Parents { commit, parents: 0 } => Message::new(
            kinds::COMMIT_NOT_FOUND,
            format!("cannot tell what commit {} changed: it has no parent", quoted(commit)),
        ),
        GitFailure::Parents { commit, parents } => Message::new(
            kinds::COMMIT_NOT_FOUND,
            format!(
                "commit {} has {}: it is not clear what it changed",
                quoted(commit),
                counted(*parents, "parent", "parents")
            ),
        )
        .hint("name the parent to compare with: --mainline 1"),
        GitFailure::NoVaultAt { commit, path } => Message::new(
            kinds::COMMIT_NOT_FOUND,
            format!("commit {} does not have the file {}", quoted(commit), quoted_path(path)),
        ),
        GitFailure::NeedsKey(path) => Message::new(
            kinds::MERGE_NEEDS_KEY,
            format!("cannot merge {} as text: both sides changed the same part of it", quoted_path(path)),
        )
        .hint("somebody who can open the vault settles it with: vault merge; a cherry-pick with: vault pick COMMIT; a revert with: vault revert COMMIT")
        .hint("to have both sides as they were: git merge --abort, or the same for a rebase or cherry-pick"),
        GitFailure::Conflicts { names, then } => {
            let shown: Vec<String> = names.iter().map(|name| quoted(name.as_str())).collect();
            let message = Message::new(
                kinds::IN_CONFLICT,
                format!("in conflict, with both values kept: {}", shown.join(", ")),
            )
            .hint("settle each with: vault resolve NAME --ours, --theirs or --edit; see both with: vault show NAME");
            match then {
                Some(then) => message.hint(format!("and then: {then}")),
                None => message,
            }
        }
        GitFailure::SeveralVersions { name, others } => Message::new(
            kinds::IN_CONFLICT,
            format!(
                "{} has {}: it is not clear which one is meant",
                quoted(name.as_str()),
                counted(*others, "other version", "other versions")
            ),
        )
        .hint(format!(
            "see them with: vault show {name}; and name one: vault resolve {name} --theirs N",
            name = word(name.as_str())
        )),
        GitFailure::NoSide => Message::new(kinds::USAGE, "it is not said which version is right")
            .hint("add --ours, --theirs or --edit"),
        GitFailure::StillBoth(name) => Message::new(
            kinds::IN_CONFLICT,
            format!(
                "cannot settle {}: the text from the editor still has both versions in it",
                quoted(name.as_str())
            ),
        )
        .hint(
            "nothing was changed; leave only the right value, without the lines that begin with <, = and >",
        ),
        GitFailure::SetupUnasked => {
            Message::new(kinds::NO_TERMINAL, "there is no terminal to ask whether this may be written")
                .hint("nothing was written; to do it without asking, add: --yes")
        }
    }
}

/// How to go on where git stopped in the middle of what is no merge.
pub(super) fn stopped(mut message: Message, at: Stopped, file: &OsStr) -> Message {
    let (theirs, ours, head) = match at {
        Stopped::CherryPick => ("git cherry-pick", "vault pick", "CHERRY_PICK_HEAD"),
        Stopped::Revert => ("git revert", "vault revert", "REVERT_HEAD"),
    };
    let file = word(&file.to_string_lossy());
    message.hints = vec![
        format!(
            "{theirs} stopped here; do it with the key: {ours} {head}; then: git add {file}, and {theirs} --continue"
        ),
        format!("or give it up with: {theirs} --abort"),
    ];
    message
}

fn file(path: &Path) -> String {
    word(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

/// Why two states are not merged, and how to go on.
pub(super) fn merge(path: &Path, error: &MergeError) -> Message {
    let vault = quoted_path(path);
    let refused = |reason: String| {
        Message::new(kinds::MERGE_REFUSED, format!("cannot merge {vault}: {reason}")).cause(error)
    };
    match error {
        MergeError::Ours(error) => side("our", path, error),
        MergeError::Theirs(error) => side("their", path, error),
        MergeError::Base(error) => side("the base's", path, error),
        MergeError::OtherVault => Message::new(
            kinds::OTHER_VAULT,
            format!("cannot merge {vault}: these are two different vaults"),
        )
        .hint(format!("take one of them: git checkout --ours -- {}, or --theirs; and bring in what the other has with: vault export, vault import", file(path))),
        MergeError::NotAMerge => Message::new(
            kinds::NOT_A_MERGE,
            format!("cannot merge {vault}: this is a cherry-pick or a revert, and one side lacks what it builds on"),
        )
        .hint(format!(
            "do it with the key: vault pick COMMIT, or for a revert vault revert COMMIT; then: git add {}, and go on as \"git status\" says",
            file(path)
        ))
        .hint("or give it up with: git cherry-pick --abort, or git revert --abort; and merge the whole branch"),
        MergeError::BothRestarted => refused("both sides restarted their log (compact, rotate) since they parted".to_owned())
            .hint("go back with: git merge --abort; take the side that is to go on, and do the other's changes again: vault --file THEIRS log, vault set"),
        MergeError::HistoryCut => refused("one side restarted its log, and no longer says what it had changed before".to_owned())
            .hint("go back with: git merge --abort; merge a commit from before the restart first, if there is one"),
        MergeError::Contradiction => refused("what the sides changed contradicts their logs".to_owned())
            .hint("nothing was written; look at each side with: vault check"),
        MergeError::NoSlotLeft => refused("each side removed the key slots that the other kept, so nobody could open it".to_owned())
            .hint("go back with: git merge --abort; add a slot on one side first: vault slot add"),
        MergeError::Slot(_) => refused("a key slot that the other side added cannot be wrapped for the rotated master key".to_owned())
            .hint("on the other side, remove that slot and commit; merge; then add it again: vault slot add"),
        MergeError::Edit(error) => edit(path, error),
        other => refused(other.to_string()),
    }
}

/// Why a commit is not picked or reverted.
pub(super) fn pick(path: &Path, deed: &str, error: &MergeError) -> Message {
    let what = format!("cannot {} in {}", escaped(deed), quoted_path(path));
    match error {
        MergeError::Ours(_) | MergeError::OtherVault => merge(path, error),
        MergeError::Theirs(error) | MergeError::Base(error) => side("the commit's", path, error),
        MergeError::NotAhead => Message::new(
            kinds::MERGE_REFUSED,
            format!("{what}: its vault is older than its parent's, so it is itself a revert or went back"),
        )
        .hint("name the commit whose changes are meant"),
        MergeError::HistoryCut => Message::new(
            kinds::MERGE_REFUSED,
            format!("{what}: its log was restarted, and no longer says what was changed"),
        ),
        MergeError::Edit(EditError::NothingChanged) => {
            Message::new(kinds::NOTHING_CHANGED, format!("{what}: all of it is so already"))
        }
        MergeError::Edit(error) => edit(path, error),
        other => Message::new(kinds::MERGE_REFUSED, format!("{what}: {other}")),
    }
}

/// A state that is not a real one.
fn side(whose: &str, path: &Path, error: &vault_core::error::VerifyError) -> Message {
    let mut message = session::verify(path, error);
    message.hints.insert(0, format!("this is {whose} side of the merge"));
    message
}

fn edit(path: &Path, error: &EditError) -> Message {
    match error {
        EditError::Verify(error) => side("our", path, error),
        error => session::edit(path, error),
    }
}

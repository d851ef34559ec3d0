//! Where git stopped in the middle of a cherry-pick or a revert: how to go on is another thing then than after a merge.

use std::path::Path;

use vault_core::format::lines::FormatError;
use vault_core::vault::merge::MergeError;

use super::Run;
use crate::cli::Command;
use crate::failure::{Failure, GitFailure};
use crate::session::SessionError;
use crate::sys::git::Git;

/// A failure that a conflict of git's is behind, with what git was doing.
pub(super) fn explained(run: &Run<'_>, command: &Command, failure: Failure) -> Failure {
    // Git says that it stopped only when its driver has ended.
    if matches!(command, Command::Merge(merge) if merge.driver.is_some()) {
        return failure;
    }
    let path = match &failure {
        Failure::Session(error) => match &**error {
            SessionError::Format(path, FormatError::ConflictMarkers { .. }) => path,
            _ => return failure,
        },
        Failure::Git(GitFailure::Merge { path, error: MergeError::NotAMerge }) => path,
        _ => return failure,
    };
    let path = run.folder.join(path);
    let path = path.canonicalize().unwrap_or(path);
    let folder = path.parent().unwrap_or(Path::new("/"));
    // What git cannot tell changes nothing about the failure.
    match Git::at(folder).stopped() {
        Ok(Some(at)) => {
            let file = path.file_name().unwrap_or_default().to_owned();
            Failure::Stopped { failure: Box::new(failure), at, file }
        }
        _ => failure,
    }
}

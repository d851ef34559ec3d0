//! Where git stopped in the middle of a cherry-pick or a revert: how to go on is another thing then than after a merge.

use std::path::Path;

use super::Run;
use crate::cli::Command;
use crate::failure::Failure;
use crate::message;
use crate::sys::git::Git;

/// A failure that a conflict of git's is behind, with what git was doing.
pub(super) fn explained(run: &Run<'_>, command: &Command, failure: Failure) -> Failure {
    // Git says that it stopped only when its driver has ended.
    if matches!(command, Command::Merge(merge) if merge.driver.is_some()) {
        return failure;
    }
    // By the id: the marks are seen when the file is opened, or when a page is read, or by the agent.
    if !matches!(message::id(&failure), "conflict-markers" | "not-a-merge") {
        return failure;
    }
    let Ok(location) = run.location() else { return failure };
    let path = location.path.canonicalize().unwrap_or(location.path);
    // What git cannot tell changes nothing about the failure.
    match Git::at(path.parent().unwrap_or(Path::new("/"))).stopped() {
        Ok(Some(at)) => {
            let file = path.file_name().unwrap_or_default().to_owned();
            Failure::Stopped { failure: Box::new(failure), at, file }
        }
        _ => failure,
    }
}

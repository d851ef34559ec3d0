//! docs/git.md is run, as README.md is.

#[test]
fn the_sessions_of_the_page_on_git_run_as_shown() {
    crate::readme::runs_as_shown("docs/git.md");
}

//! `vault doctor`: what works here and what does not, each with its remedy. It asks for nothing, unlocks nothing and changes
//! nothing; keyrings are given a random item, and it is taken back.

mod machine;
mod places;

use serde::Serialize;

use super::Run;
use crate::cli::Doctor;
use crate::escape::escaped;
use crate::failure::Failure;
use crate::message::Exit;

pub(super) fn run(run: &mut Run<'_>, arguments: &Doctor) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    machine::look(run, &mut findings);
    places::look(run, &mut findings);
    if arguments.python {
        findings.push(machine::python());
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (warnings, problems) = (count(State::Warning), count(State::Problem));
    let ok = problems == 0 && !(run.global.strict && warnings > 0);
    if run.global.json {
        run.output.json(&Json { version: 1, ok, warnings, problems, checks: &findings })?;
    } else {
        let told = findings.iter().filter(|finding| !run.global.quiet || finding.state.is_bad());
        let mut lines: Vec<String> = told.flat_map(Finding::lines).collect();
        lines.push(format!("{problems} problems, {warnings} warnings"));
        run.output.lines(lines)?;
    }
    Ok(if ok { Exit::Ok } else { Exit::Failed })
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Not there, which is no fault.
    Absent,
    /// It cannot be told.
    Unknown,
    /// Weaker than it could be.
    Warning,
    /// To be mended.
    Problem,
}

impl State {
    fn is_bad(self) -> bool {
        matches!(self, Self::Warning | Self::Problem)
    }
}

/// What was found.
#[derive(Serialize)]
struct Finding {
    id: &'static str,
    state: State,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn new(id: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { id, state, text: text.into(), remedy: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn lines(&self) -> Vec<String> {
        let state = match self.state {
            State::Ok => "ok",
            State::Absent => "absent",
            State::Unknown => "unknown",
            State::Warning => "warning",
            State::Problem => "PROBLEM",
        };
        let mut lines = vec![format!("{state:<8} {}: {}", self.id, escaped(&self.text))];
        lines.extend(self.remedy.as_ref().map(|remedy| format!("         remedy: {}", escaped(remedy))));
        lines
    }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    ok: bool,
    warnings: usize,
    problems: usize,
    checks: &'a [Finding],
}

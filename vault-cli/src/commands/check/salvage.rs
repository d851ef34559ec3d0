//! `vault check --salvage OUT`: from a file that does not verify, what still opens.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use vault_core::format::front::Pages;
use vault_core::source::Source;
use vault_core::store;
use vault_core::vault::salvage::{Salvaged, SalvagedEntry, salvage};
use zeroize::Zeroizing;

use super::super::fork::entry_change;
use super::super::slots::{self, Given};
use super::super::{Run, init};
use crate::cli::Check;
use crate::escape::{counted, quoted_path};
use crate::failure::Failure;
use crate::message::{Exit, Status};
use crate::session::{self, Change, Opened, SessionError};

pub(super) fn run(run: &mut Run<'_>, arguments: &Check, from: &Path, to: &Path) -> Result<Exit, Failure> {
    if to.symlink_metadata().is_ok() {
        return Err(Failure::VaultExists(to.to_owned()));
    }
    let source: Arc<dyn Source> =
        Arc::new(store::read(from).map_err(|error| SessionError::Store(from.to_owned(), error))?);
    let policy = session::policy(run)?;
    let credentials = session::credentials(run, from, None)?;
    let salvaged = salvage(&source, &credentials.all, &policy)
        .map_err(|error| SessionError::Salvage(from.to_owned(), error))?;
    if salvaged.entries.is_empty() {
        return Err(Failure::NothingToSalvage(from.to_owned()));
    }
    // The slots of the damaged file are not taken over: whoever damaged it may have added one.
    let wanted = slots::wanted(run, &arguments.slots, to, Given::IsForTheOldVault)?;

    let mut report = Report::of(&salvaged);
    let changes = changes(salvaged, from, to)?;
    let count = changes.len();
    let pages = if count > MANY { Pages::Many } else { Pages::Few };
    let mut fresh = slots::fresh(run, to, pages, wanted, changes)?;
    let durable = init::create(run, to, &mut fresh)?;
    run.voice.status(&Status::Done(format!(
        "salvaged {} into {}",
        counted(count, "entry", "entries"),
        quoted_path(to)
    )));
    if run.global.json {
        report.machine_key = fresh
            .machine_key
            .as_ref()
            .map(|key| Zeroizing::new(String::from_utf8_lossy(key.expose()).into_owned()));
        let key_lost = report.machine_key.is_some();
        run.output.json(&report).map_err(|error| match key_lost {
            true => Failure::KeyLost { path: to.to_owned(), error },
            false => error.into(),
        })?;
    } else {
        // The key is the result. It may go into a file, where the report would be lost.
        if fresh.machine_key.is_some() {
            run.voice.report_lines(&report.lines());
        } else {
            run.output.lines(report.lines())?;
        }
        init::report_key(run, to, &fresh)?;
    }
    durable?;
    Ok(if report.is_well() { Exit::Ok } else { Exit::Integrity })
}

/// Of each name, the version most to be trusted. Conflicts are not taken over: what stands in the entry is.
fn changes(salvaged: Salvaged, from: &Path, to: &Path) -> Result<Vec<Change>, Failure> {
    let mut changes: Vec<Change> = Vec::new();
    let mut last = None;
    for SalvagedEntry { entry, .. } in salvaged.entries {
        let mut meta = entry.meta().clone();
        if last.as_ref() == Some(&meta.name) {
            continue;
        }
        last = Some(meta.name.clone());
        meta.alternatives.clear();
        let values =
            meta.fields.keys().filter_map(|field| Some((field.clone(), entry.value(field)?))).collect();
        changes.push(entry_change(to, from, Opened { meta, values })?);
    }
    Ok(changes)
}

/// From here on, more pages keep saves small.
const MANY: usize = 10_000;

/// What cannot be trusted.
#[derive(Serialize)]
struct Report {
    version: u32,
    log_verified: bool,
    verified: Vec<String>,
    unverified: Vec<String>,
    older_versions: Vec<String>,
    in_conflict: Vec<String>,
    lost_fields: Vec<(String, String)>,
    damaged: Vec<String>,
    unverified_pages: Vec<String>,
    broken_lines: usize,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plain")]
    machine_key: Option<Zeroizing<String>>,
}

/// A page's number, as most pages of a file are written.
fn page(number: &u16) -> String {
    format!("{number:02x}")
}

fn plain<S: serde::Serializer>(key: &Option<Zeroizing<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|key| key.as_str()).serialize(serializer)
}

impl Report {
    fn of(salvaged: &Salvaged) -> Self {
        let mut report = Self {
            version: 1,
            log_verified: salvaged.log_verified,
            verified: Vec::new(),
            unverified: Vec::new(),
            older_versions: Vec::new(),
            in_conflict: Vec::new(),
            lost_fields: Vec::new(),
            damaged: salvaged.damaged.iter().map(ToString::to_string).collect(),
            unverified_pages: salvaged.unverified_pages.iter().map(page).collect(),
            broken_lines: salvaged.broken_lines,
            machine_key: None,
        };
        let mut last = None;
        for SalvagedEntry { entry, verified, lost_fields } in &salvaged.entries {
            let name = entry.meta().name.as_str().to_owned();
            if last.as_ref() == Some(&name) {
                report.older_versions.push(name);
                continue;
            }
            last = Some(name.clone());
            if entry.meta().in_conflict() {
                report.in_conflict.push(name.clone());
            }
            report.lost_fields.extend(lost_fields.iter().map(|field| (name.clone(), field.clone())));
            if *verified { report.verified.push(name) } else { report.unverified.push(name) }
        }
        report
    }

    fn is_well(&self) -> bool {
        let none = [
            &self.unverified,
            &self.older_versions,
            &self.in_conflict,
            &self.damaged,
            &self.unverified_pages,
        ];
        self.log_verified
            && self.lost_fields.is_empty()
            && self.broken_lines == 0
            && none.iter().all(|names| names.is_empty())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.log_verified {
            lines.push("the log does not verify: entries may be missing or old without a trace".to_owned());
        }
        let pages = &self.unverified_pages;
        lines.extend(
            pages.iter().map(|page| format!("page {page} does not verify: entries of it may be lost")),
        );
        if self.broken_lines > 0 {
            lines.push(format!("lines that may have been entries: {}", self.broken_lines));
        }
        let mut add = |what: &str, names: &[String]| {
            lines.extend(names.iter().map(|name| format!("{what}: {name}")));
        };
        add("verified", &self.verified);
        add("opens, but may be old", &self.unverified);
        add("another version left out", &self.older_versions);
        add("conflict settled with the version in place", &self.in_conflict);
        add("does not open: entry", &self.damaged);
        lines.extend(self.lost_fields.iter().map(|(name, field)| format!("lost: field {field} of {name}")));
        lines
    }
}

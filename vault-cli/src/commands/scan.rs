//! `vault scan [PATH…]`: values of the vault where they should not be.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ignore::{WalkBuilder, WalkState};
use serde::Serialize;
use vault_core::secret::Secret;
use vault_core::vault::Value;
use zeroize::Zeroizing;

use super::Run;
use crate::cli::Scan;
use crate::escape::counted;
use crate::failure::Failure;
use crate::input::{InputError, Place};
use crate::message::{Exit, Status};
use crate::scan::{Form, Hit, Patterns, SHORTEST};
use crate::session::{Opened, Session};
use crate::size::shown;
use crate::sys::revisions::{GitError, Repository};

pub(super) fn run(run: &mut Run<'_>, arguments: &Scan) -> Result<Exit, Failure> {
    let (_, mut session) = run.open()?;
    let opened = session.entries(&|_| true)?;
    let values = values(&mut session, opened)?;
    drop(session);
    let short: Vec<&Named> = values.iter().filter(|value| value.is_short()).collect();
    let patterns = Patterns::of(values.iter().map(|value| value.part.expose()));

    let mut report = Report::default();
    if patterns.is_empty() {
        // Nothing can be found, and a tree may be large.
    } else if arguments.stdin || matches!(&arguments.paths[..], [path] if path.as_os_str() == "-") {
        let mut stream = run.stdin.claim("what is to be scanned")?.into_reader();
        let read = report.search(&patterns, &mut stream, "-", &mut Vec::new());
        read.map_err(|error| InputError::Unreadable(Place::Stdin, error))?;
    } else if arguments.staged {
        staged(&Repository::here(&run.folder)?, &patterns, &mut report)?;
    } else {
        report = tree(arguments, &patterns);
    }
    report.sort();
    print(run, &report, &values, &short)?;

    match (report.found.len() + report.left_out, report.unreadable.into_iter().next()) {
        (0, None) => Ok(Exit::Ok),
        // What was not read is not clean.
        (0, Some((path, error))) => Err(InputError::Unreadable(Place::File(path), error).into()),
        (count, _) => Err(Failure::LeaksFound(count)),
    }
}

/// A value, and where it belongs.
struct Named {
    entry: String,
    field: String,
    /// The number of the other version that has it, from 1, of an entry in conflict.
    theirs: Option<usize>,
    part: Secret,
}

impl Named {
    fn is_short(&self) -> bool {
        self.part.expose().trim_ascii_end().len() < SHORTEST
    }
}

fn values(session: &mut dyn Session, opened: Vec<Opened>) -> Result<Vec<Named>, Failure> {
    let mut all: Vec<Named> = Vec::new();
    for Opened { meta, values } in opened {
        let entry = meta.name.as_str().to_owned();
        let begin = all.len();
        for (field, value) in values {
            all.push(Named { entry: entry.clone(), field, theirs: None, part: part(value)? });
        }
        for (number, other) in meta.alternatives.iter().enumerate() {
            for (field, _) in other.fields.iter().filter(|(_, info)| info.is_some()) {
                let Some(value) = session.alternative(&meta.name, number, field)? else { continue };
                let part = part(value)?;
                // A value that several versions have is told once.
                let is_known = |known: &Named| known.field == *field && known.part.expose() == part.expose();
                if !all[begin..].iter().any(is_known) {
                    all.push(Named {
                        entry: entry.clone(),
                        field: field.clone(),
                        theirs: Some(number + 1),
                        part,
                    });
                }
            }
        }
    }
    Ok(all)
}

/// What is looked for of a value.
fn part(value: Value) -> Result<Secret, Failure> {
    match value {
        Value::Inline(secret) => Ok(secret),
        Value::Attachment(mut reader) => {
            let length = reader.length();
            Ok(middle(&mut reader, length).map_err(crate::output::OutputError::Read)?)
        }
    }
}

/// Of what is too large for memory, some bytes of the middle.
fn middle(reader: &mut dyn Read, length: u64) -> std::io::Result<Secret> {
    let mut skip = (length / 2).saturating_sub(OF_AN_ATTACHMENT / 2);
    let mut chunk = Zeroizing::new([0; 4096]);
    while skip > 0 {
        let count = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        match reader.read(&mut chunk[..count])? {
            0 => break,
            read => skip -= read as u64,
        }
    }
    let mut part = crate::buffer::WipingBuffer::new();
    let limit = usize::try_from(OF_AN_ATTACHMENT).unwrap_or_default();
    part.read_up_to(&mut reader.take(OF_AN_ATTACHMENT), limit)?;
    Ok(part.into_secret())
}

/// What was found, and what was looked at.
#[derive(Default)]
struct Report {
    found: Vec<(String, Hit)>,
    left_out: usize,
    files: u64,
    bytes: u64,
    unreadable: Vec<(PathBuf, std::io::Error)>,
}

impl Report {
    /// Looks through one stream.
    fn search(
        &mut self,
        patterns: &Patterns,
        stream: &mut dyn Read,
        name: &str,
        buffer: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let mut here = 0;
        let Self { found, left_out, .. } = self;
        self.bytes += patterns.search(stream, buffer, &mut |hit| {
            here += 1;
            if here <= OF_A_FILE { found.push((name.to_owned(), hit)) } else { *left_out += 1 }
        })?;
        self.files += 1;
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.found.extend(other.found);
        self.unreadable.extend(other.unreadable);
        self.left_out += other.left_out;
        self.files += other.files;
        self.bytes += other.bytes;
    }

    fn sort(&mut self) {
        self.found.sort_by(|a, b| (&a.0, a.1.offset, a.1.value).cmp(&(&b.0, b.1.offset, b.1.value)));
        self.unreadable.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

/// Files below some paths, by several threads. Links are not followed, and git's own folder is left out: it is compressed.
fn tree(arguments: &Scan, patterns: &Patterns) -> Report {
    let mut paths = arguments.paths.iter();
    let here = PathBuf::from(".");
    let mut walk = WalkBuilder::new(paths.next().unwrap_or(&here));
    paths.for_each(|path| {
        walk.add(path);
    });
    // Hidden files are where secrets are.
    walk.standard_filters(!arguments.no_ignore).hidden(false);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    let all = Mutex::new(Report::default());
    let add = |report: Report| all.lock().unwrap_or_else(PoisonError::into_inner).add(report);
    walk.build_parallel().run(|| {
        let mut buffer = Vec::new();
        let add = &add;
        Box::new(move |entry| {
            let mut report = Report::default();
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    let path = entry.path();
                    let name = path.strip_prefix(".").unwrap_or(path).to_string_lossy();
                    let read = File::open(path)
                        .and_then(|mut file| report.search(patterns, &mut file, &name, &mut buffer));
                    if let Err(error) = read {
                        report.unreadable.push((path.to_owned(), error));
                    }
                }
                // What was named and is neither is not called clean.
                Ok(entry) if entry.depth() == 0 && !entry.file_type().is_some_and(|kind| kind.is_dir()) => {
                    let error = std::io::Error::other("it is no file and no folder");
                    report.unreadable.push((entry.into_path(), error));
                }
                Ok(_) => return WalkState::Continue,
                Err(error) => {
                    let path = path_of(&error).unwrap_or_default();
                    let error = error.into_io_error().unwrap_or_else(|| std::io::Error::other("not read"));
                    report.unreadable.push((path, error));
                }
            }
            add(report);
            WalkState::Continue
        })
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn path_of(error: &ignore::Error) -> Option<PathBuf> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path.clone()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

/// What the next commit adds or changes.
fn staged(repository: &Repository, patterns: &Patterns, report: &mut Report) -> Result<(), Failure> {
    let mut objects = repository.objects()?;
    let mut buffer = Vec::new();
    for file in repository.staged()? {
        let name = file.path.to_string_lossy();
        let read = objects
            .content(file.blob.as_ref(), |content, _| report.search(patterns, content, &name, &mut buffer))?;
        match read {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(GitError::NotRun(error).into()),
            None => return Err(GitError::NoFile { revision: None, path: file.path }.into()),
        }
    }
    Ok(())
}

fn print(run: &mut Run<'_>, report: &Report, values: &[Named], short: &[&Named]) -> Result<(), Failure> {
    let place = |value: &Named| {
        let theirs = value.theirs.map(|number| format!(", theirs {number}")).unwrap_or_default();
        format!("{}#{}{theirs}", value.entry, value.field)
    };
    if run.global.json {
        let found = report.found.iter().map(|(path, hit)| Found {
            path,
            line: hit.line,
            column: hit.column,
            offset: hit.offset,
            entry: &values[hit.value].entry,
            field: &values[hit.value].field,
            theirs: values[hit.value].theirs,
            form: hit.form.text(),
        });
        let json = Json {
            version: 1,
            found: found.collect(),
            left_out: report.left_out,
            too_short: short.iter().map(|value| place(value)).collect(),
            files: report.files,
            bytes: report.bytes,
            unreadable: report
                .unreadable
                .iter()
                .map(|(path, _)| path.to_string_lossy().into_owned())
                .collect(),
        };
        return Ok(run.output.json(&json)?);
    }
    run.output.lines(report.found.iter().map(|(path, hit)| {
        let Hit { line, column, form, .. } = hit;
        let form = if *form == Form::Raw { String::new() } else { format!(" ({})", form.text()) };
        format!("{path}:{line}:{column}: {}{form}", place(&values[hit.value]))
    }))?;
    if report.left_out > 0 {
        let text = format!("places left out, in files with more than {OF_A_FILE}: {}", report.left_out);
        run.voice.status(&Status::Done(text));
    }
    if !short.is_empty() {
        let text = format!("values of fewer than {SHORTEST} bytes were not looked for: {}", short.len());
        run.voice.status(&Status::Done(text));
    }
    if run.global.verbose {
        let text =
            format!("looked through {}, {}", counted(report.files, "file", "files"), shown(report.bytes));
        run.voice.status(&Status::Done(text));
    }
    Ok(())
}

/// For programs.
#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    found: Vec<Found<'a>>,
    left_out: usize,
    too_short: Vec<String>,
    files: u64,
    bytes: u64,
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Found<'a> {
    path: &'a str,
    line: u64,
    column: u64,
    offset: u64,
    entry: &'a str,
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<usize>,
    form: &'static str,
}

/// Bytes of an attachment's middle: enough for a line in it.
const OF_AN_ATTACHMENT: u64 = 1024;
/// Places in one file that are told.
const OF_A_FILE: usize = 100;

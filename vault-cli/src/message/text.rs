//! Words for failures.

use std::io;

use vault_core::format::entry::NameError;
use vault_core::keys::age::RecipientError;

use super::catalogue::{self as kinds};
use super::{Message, Warning, git, launch, session, slots, source, usage};
use crate::codec::{CodecError, Problem};
use crate::context::{ConfigError, ConfigProblem, ContextError};
use crate::escape::{escaped, quoted, quoted_path};
use crate::failure::{EditorError, ExportNameProblem, Failure};
use crate::input::InputError;
use crate::output::OutputError;
use crate::password::AlphabetError;
use crate::prompt::PromptError;
use crate::sys::askpass::AskError;
use crate::sys::revisions::GitError;

/// What is said about a failure.
pub(super) fn message(failure: &Failure) -> Message {
    match failure {
        Failure::Stopped { failure, at, file } => git::stopped(message(failure), *at, file),
        Failure::Usage(error) => usage::message(error),
        Failure::SecretInArgv { name } => secret_in_argv(name),
        Failure::UnknownOptionOfSet => {
            Message::new(kinds::USAGE, "unexpected option of \"vault set\"").hint("see: vault help set")
        }
        Failure::KeyInArgv => Message::new(
            kinds::KEY_IN_ARGV,
            "refusing a secret key on the command line: it can be seen by other programs",
        )
        .hint("name the file that holds it, or use VAULT_MACHINE_KEY or VAULT_IDENTITY; for --age, give the recipient, which begins with age1")
        .hint("make a new key: this one was seen"),
        Failure::KeyAsPath(variable) => Message::new(
            kinds::KEY_IN_ARGV,
            format!("a key was given where a path is expected, in {variable}"),
        )
        .hint("name the file that holds it, or use VAULT_MACHINE_KEY or VAULT_IDENTITY"),
        Failure::UnknownTopic(topic) => {
            Message::new(kinds::UNKNOWN_TOPIC, format!("no help on {}", quoted(topic)))
                .hint("topics are the commands, config, exit-codes and policy; see: vault help")
        }
        Failure::Context(error) => context(error),
        Failure::Config(error) => config(error),
        Failure::VaultId(text) => Message::new(
            kinds::BAD_VAULT_ID,
            format!("{} names no vault", quoted(&shortened(text))),
        )
        .hint("VAULT_ID and --vault-id take what \"vault status\" shows as id; several are separated by commas"),
        Failure::CurrentFolder(error) => {
            caused(kinds::NO_CURRENT_FOLDER, "cannot read the current folder", error)
        }
        Failure::Hardening(error) => {
            caused(kinds::NOT_HARDENED, "cannot protect this process's memory from other programs", error)
        }
        Failure::Bug(place) => Message::new(kinds::BUG, format!("this is a bug, at {}", escaped(place)))
            .hint(concat!(
                "please report it with the command, its input, and the version: vault ",
                env!("CARGO_PKG_VERSION")
            ))
            .hint("leave secrets out of the report; the vault is the old or the new one, never half of each"),
        Failure::Input(error) => input(error),
        Failure::Prompt { error, asking } => prompt(error, asking),
        Failure::Asker { program, error, asking } => asker(program, error, asking),
        Failure::WeakPassphrase => Message::new(
            kinds::WEAK_PASSPHRASE,
            "refusing a passphrase that is easy to guess: whoever has a copy of the repository can try as many as they like",
        )
        .hint(DICEWARE)
        .hint("to use it nonetheless, add: --weak-passphrase"),
        Failure::Output(error) => output(error),
        Failure::Alphabet(error) => alphabet(*error),
        Failure::Import { path, error } => import(path, error),
        Failure::ImportName { path, line, name, error } => {
            let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            let what = format!(
                "cannot import {}{line} of {}: {}",
                quoted(name),
                quoted_path(path),
                name_reason(*error)
            );
            Message::new(kinds::IMPORT_NAME, what).hint("nothing was stored")
        }
        Failure::ImportFormat(path) => {
            let what = format!("cannot tell the format of {} by its name", quoted_path(path));
            Message::new(kinds::IMPORT_FORMAT, what).hint("add: --format dotenv, json, yaml, toml or file")
        }
        Failure::ExportTarget(path) => Message::new(
            kinds::EXPORT_TARGET,
            format!("refusing to replace {}: it is a vault, or what the vault was opened with", quoted_path(path)),
        )
        .hint("nothing was written; name another file with -o"),
        Failure::NothingToExport { pattern, prefix, vault } => nothing_to_export(pattern.as_deref(), prefix, vault),
        Failure::Export(error) => export(error),
        Failure::ExportName { name, problem } => export_name(name, problem),
        Failure::FileNotWritten { path, error } => {
            caused(kinds::FILE_NOT_WRITTEN, &format!("cannot write {}", quoted_path(path)), error)
        }
        Failure::NotStored { path, error } => session::not_stored(path, error),
        Failure::Name { what, name, error } => Message::new(
            kinds::BAD_NAME,
            format!("{} cannot be the name of {what}: {}", quoted(&shortened(name)), name_reason(*error)),
        ),
        Failure::Time(text) => Message::new(kinds::BAD_TIME, format!("{} is no time", quoted(text)))
            .hint("write 2030-12-31, 2030-12-31T23:59:59Z, or a span from now: 90d, 12h"),
        Failure::PastTime(text) => Message::new(kinds::BAD_TIME, format!("{} is no time", quoted(text)))
            .hint("write 2026-01-31, 2026-01-31T23:59:59Z, or a span back from now: 30m, 12h, 90d"),
        Failure::DoorTaken(path) => Message::new(
            kinds::DOOR_TAKEN,
            format!("{} is there already, and not ours", quoted_path(path)),
        )
        .hint("nothing was changed; move it away, name another --dir, or for keyringrc.cfg add: --yes"),
        Failure::DoorRequest => Message::new(kinds::DOOR_REQUEST, "cannot understand the request"),
        Failure::ItemTooLong(error) => Message::new(kinds::TOO_LARGE, format!("cannot store the password: {error}")),
        Failure::KeyringDisabled => Message::new(
            kinds::KEYRING_DISABLED,
            "cannot change the keyring: it was switched off by keyringrc.cfg or PYTHON_KEYRING_BACKEND",
        ),
        Failure::NoEntry { name, vault, similar } => {
            let message = Message::new(
                kinds::ENTRY_NOT_FOUND,
                format!("no entry named {} in vault {}", quoted(name.as_str()), quoted_path(vault)),
            );
            match similar {
                Some(similar) => message.hint(format!("did you mean {}?", quoted(similar))),
                None => message,
            }
        }
        Failure::NoAttribute { name, attribute, attributes } => {
            let attributes: Vec<_> = attributes.iter().map(|attribute| quoted(attribute)).collect();
            let what = format!("entry {} has no attribute {}", quoted(name.as_str()), quoted(attribute));
            let message = Message::new(kinds::ATTRIBUTE_NOT_FOUND, what).hint("nothing was changed");
            if attributes.is_empty() { message } else { message.hint(format!("it has: {}", attributes.join(", "))) }
        }
        Failure::NoField { name, field, fields } => {
            let fields: Vec<_> = fields.iter().map(|field| quoted(field)).collect();
            let what = format!("entry {} has no field {}", quoted(name.as_str()), quoted(field));
            let message = Message::new(kinds::FIELD_NOT_FOUND, what);
            if fields.is_empty() { message } else { message.hint(format!("it has: {}", fields.join(", "))) }
        }
        Failure::Recipient { text, error } => recipient(text, *error),
        Failure::NewSlot(error) => {
            Message::new(kinds::SLOT_NOT_MADE, format!("cannot make a key slot: {error}"))
        }
        Failure::KdfMemory(bytes) => Message::new(
            kinds::BAD_KDF_MEMORY,
            format!(
                "cannot use {} of memory for a passphrase: 19 MiB to 1 GiB are allowed",
                crate::size::shown(*bytes)
            ),
        ),
        Failure::TooManySlots => Message::new(kinds::TOO_MANY_SLOTS, "a vault has at most 64 key slots"),
        Failure::KeyLost { path, error } => {
            let Message { text, causes, .. } = output(error);
            let mut message = Message::new(
                kinds::KEY_LOST,
                format!("vault {} was made, but its machine key is lost: {text}", quoted_path(path)),
            )
            .hint(format!("nobody has the key; make it again: rm {}", word(&path.to_string_lossy())));
            message.causes = causes;
            message
        }
        Failure::RecipientTwice(text) => Message::new(
            kinds::BAD_RECIPIENT,
            format!("recipient {} was given twice", quoted(&shortened(text))),
        ),
        Failure::VaultExists(path) => Message::new(
            kinds::VAULT_EXISTS,
            format!("cannot make vault {}: it exists already", quoted_path(path)),
        ),
        Failure::WouldReplace(count) => {
            Message::new(kinds::ENTRY_EXISTS, format!("cannot import: {} already", super::exist(*count)))
                .hint("nothing was stored; to replace them, add: --yes")
        }
        Failure::Declined => Message::new(kinds::DECLINED, "nothing was changed, as you said no"),
        Failure::NoMemoryFolder => Message::new(
            kinds::NO_MEMORY_FOLDER,
            "cannot open an editor: there is no folder in memory for its file (XDG_RUNTIME_DIR, /dev/shm)",
        )
        .hint("use: vault set"),
        Failure::Editor(error) => editor(error),
        Failure::NotEditable(name) => Message::new(
            kinds::NOT_EDITABLE,
            format!("cannot edit {}: the value is no text, or longer than 16 KiB", quoted(name.as_str())),
        )
        .hint("use: vault get -o PATH, and vault set --secret-file PATH"),
        Failure::NothingToSalvage(path) => Message::new(
            kinds::NOTHING_TO_SALVAGE,
            format!("cannot salvage {}: no entry in it opens", quoted_path(path)),
        )
        .hint("nothing was written"),
        Failure::Slot(failure) => slots::message(failure),
        Failure::Source(failure) => source::message(failure),
        Failure::Revision(error) => revision(error),
        Failure::ConflictsLeft { path, names } => in_conflict(path, names)
            .hint("settle each with: vault resolve NAME; then add the file again"),
        Failure::LeaksFound(count) => Message::new(
            kinds::LEAK_FOUND,
            format!("{count} {} of values of the vault found", if *count == 1 { "copy" } else { "copies" }),
        )
        .hint("whoever had the files had the values: change them where they are used, then here"),
        Failure::ValuesToProgram => Message::new(
            kinds::VALUES_TO_PROGRAM,
            "refusing to show values: standard output is not a terminal",
        )
        .hint("a program gets one value at a time: vault get NAME --at REV"),
        Failure::Session(error) => session::message(error),
        Failure::BeforeStart(failure) => {
            launch::not_started(message(failure))
        }
        Failure::Launch(error) => launch::message(error),
        Failure::Git(error) => git::message(error),
        Failure::Warning(given) => warning(given).hint("this is a warning, and an error because of --strict"),
        Failure::Interrupted | Failure::Ended(_) => Message::new(kinds::USAGE, "interrupted"),
    }
}

/// What is said in a warning.
pub(super) fn warning(warning: &Warning) -> Message {
    match warning {
        Warning::Expired(name, expires) => Message::new(
            kinds::ENTRY_EXPIRED,
            format!("{} expired on {}", quoted(name), crate::time::shown(*expires)),
        ),
        Warning::InConflict { path, names } => in_conflict(path, names)
            .hint("see both values with: vault show NAME; settle each with: vault resolve NAME"),
        Warning::SameItem { service, entries } => {
            let others: Vec<_> = entries[1..].iter().map(|name| quoted(name)).collect();
            let what = format!("the same user of {} is in {}, too", quoted(service), others.join(", "));
            Message::new(kinds::SAME_ITEM, what)
                .hint(format!("{} is the one that counts", quoted(&entries[0])))
        }
        Warning::EmptyReplaces(name) => Message::new(
            kinds::EMPTY_VALUE,
            format!("standard input was empty, and replaces the secret of {}", quoted(name)),
        )
        .hint("if that is not meant, the old secret is in git or a backup; --strict refuses it"),
        Warning::NotMasked(name, why) => launch::not_masked(name, *why),
        Warning::OtherAgent => Message::new(
            kinds::OTHER_AGENT,
            "the agent is of another version of this program, and is not used",
        )
        .hint("end it with its own version of: vault agent stop; then unlock again"),
        Warning::OlderThanSeen { path, generation, seen } => session::older(path, *generation, *seen, false),
        Warning::Unpinned(path, why) => session::unpinned(path, why),
        Warning::SlotsChanged(path, news) => session::slots_changed(path, news),
        Warning::SlotUnavailable(label, why) => session::slot_unavailable(label, why),
        Warning::WeakPassphrase => Message::new(
            kinds::WEAK_PASSPHRASE,
            "this passphrase is easy to guess for whoever has a copy of the vault",
        )
        .hint(DICEWARE),
        Warning::NotImported(what, why) => source::left(what, why),
        Warning::NotDeleted(what, why) => source::remaining(what, why),
        Warning::NoAttributes(line) => Message::new(
            kinds::NO_GITATTRIBUTES,
            "git may change the vault's line ends: .gitattributes has no line for it",
        )
        .hint(format!("add it yourself: {line}")),
    }
}

fn in_conflict(path: &std::path::Path, names: &[String]) -> Message {
    let shown: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    Message::new(
        kinds::IN_CONFLICT,
        format!("{} has entries in conflict: {}", quoted_path(path), shown.join(", ")),
    )
    .parts(names)
}

fn revision(error: &GitError) -> Message {
    match error {
        GitError::NotRun(error) => caused(kinds::GIT_FAILED, "cannot run git", error),
        GitError::NoRepository(path) => {
            Message::new(kinds::NO_REPOSITORY, format!("{} is in no work tree of git", quoted_path(path)))
        }
        GitError::NoRevision(revision) => {
            Message::new(kinds::COMMIT_NOT_FOUND, format!("git knows no commit {}", quoted(revision)))
        }
        GitError::NoFile { revision: Some(revision), path } => Message::new(
            kinds::COMMIT_NOT_FOUND,
            format!("there is no {} in commit {}", quoted_path(path), escaped(revision)),
        )
        .hint("see which commits changed it: git log --follow -- PATH"),
        GitError::NoFile { revision: None, path } => {
            Message::new(kinds::COMMIT_NOT_FOUND, format!("{} is not in git's index", quoted_path(path)))
        }
        GitError::Failed(what) => Message::new(kinds::GIT_FAILED, format!("git {what} failed"))
            .hint(format!("see what it says: git {what}")),
    }
}

fn secret_in_argv(name: &str) -> Message {
    let text = "refusing a secret on the command line: it would be visible to other programs and kept in the shell history";
    Message::new(kinds::SECRET_IN_ARGV, text)
        .hint(format!("type it at the prompt, or pipe it: printf %s \"$value\" | vault set {}", word(name)))
}

fn context(error: &ContextError) -> Message {
    match error {
        ContextError::NoHome => {
            Message::new(kinds::NO_HOME, "cannot find your own vault: neither HOME nor XDG_DATA_HOME is set")
                .hint("name a vault with --file PATH or VAULT_FILE")
        }
    }
}

fn config(error: &ConfigError) -> Message {
    let path = quoted_path(&error.path);
    let wrong = |text: String| Message::new(kinds::BAD_CONFIG, text).hint("see: vault help config");
    match &error.problem {
        ConfigProblem::Unreadable(error) => {
            caused(kinds::BAD_CONFIG, &format!("cannot read the config file {path}"), error)
        }
        ConfigProblem::Syntax(line) => {
            let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            wrong(format!("cannot use the config file {path}: it is no TOML{line}"))
        }
        ConfigProblem::UnknownKey(key) => {
            wrong(format!("cannot use the config file {path}: there is no key {}", quoted(&shortened(key))))
        }
        ConfigProblem::Value { key, expected } => {
            wrong(format!("cannot use the config file {path}: {} has to be {expected}", quoted(key)))
        }
    }
}

fn input(error: &InputError) -> Message {
    match error {
        InputError::StdinClaimed { first, second } => Message::new(
            kinds::STDIN_CLAIMED,
            format!("standard input cannot be used for {second}: it is used for {first}"),
        ),
        InputError::Unreadable(from, error) => {
            caused(kinds::INPUT_UNREADABLE, &format!("cannot read {}", session::from(from)), error)
        }
        InputError::TooLong(from, limit) => Message::new(
            kinds::INPUT_TOO_LONG,
            format!(
                "cannot use {}: it has more than {}",
                session::from(from),
                crate::size::shown(*limit as u64)
            ),
        ),
        InputError::EmptyPassphrase(from) => Message::new(
            kinds::EMPTY_PASSPHRASE,
            format!("cannot use the passphrase from {}: it is empty", session::from(from)),
        ),
    }
}

fn prompt(error: &PromptError, asking: &str) -> Message {
    match error {
        PromptError::NoTerminal => {
            let message =
                Message::new(kinds::NO_TERMINAL, format!("there is no terminal to ask for {asking}"));
            match asking {
                "the secret" => message.hint("pipe it in, or pass --secret-file PATH"),
                "a new passphrase" => message.hint(
                    "pass --passphrase-file PATH or --new-passphrase-file PATH, or make slots with --age or --machine",
                ),
                _ => message,
            }
        }
        PromptError::Interrupted => Message::new(kinds::USAGE, "interrupted"),
        PromptError::Different => Message::new(
            kinds::PROMPT_DIFFERENT,
            format!("cannot use {asking}: what you typed twice is not the same"),
        )
        .hint("nothing was changed; run the command again"),
        PromptError::Empty => {
            Message::new(kinds::EMPTY_PASSPHRASE, format!("cannot use {asking}: nothing was typed"))
        }
        PromptError::TooLong(limit) => Message::new(
            kinds::INPUT_TOO_LONG,
            format!("cannot use {asking}: it has more than {}", crate::size::shown(*limit as u64)),
        ),
        PromptError::Terminal(error) => {
            caused(kinds::TERMINAL_FAILED, &format!("cannot ask for {asking}"), error)
        }
    }
}

const DICEWARE: &str = "make one that is not with: vault generate --passphrase";

fn asker(program: &std::ffi::OsStr, error: &AskError, asking: &str) -> Message {
    let program = quoted(&program.to_string_lossy());
    match error {
        AskError::NotStarted(error) => {
            caused(kinds::ASKER_FAILED, &format!("cannot ask for {asking}: {program} does not start"), error)
        }
        AskError::Dismissed => Message::new(
            kinds::PROMPT_DISMISSED,
            format!("cannot ask for {asking}: {program} was dismissed, or could not show its question"),
        ),
        AskError::Failed => Message::new(
            kinds::ASKER_FAILED,
            format!("cannot ask for {asking}: {program} broke off, or does not answer as it should"),
        ),
        AskError::TooLong(limit) => Message::new(
            kinds::INPUT_TOO_LONG,
            format!("cannot use {asking}: it has more than {}", crate::size::shown(*limit as u64)),
        ),
    }
}

pub(super) fn output(error: &OutputError) -> Message {
    match error {
        OutputError::Write(error) => {
            caused(kinds::OUTPUT_FAILED, "cannot write the whole result to standard output", error)
        }
        OutputError::Read(error) => caused(kinds::OUTPUT_FAILED, "cannot read the rest of the result", error)
            .hint("what was written is not the whole result: do not use it"),
        OutputError::BinaryToTerminal => Message::new(
            kinds::BINARY_TO_TERMINAL,
            "refusing to show a secret that is not text on a terminal",
        )
        .hint("to do it nonetheless, add: -o -"),
        OutputError::BrokenPipe => {
            Message::new(kinds::OUTPUT_FAILED, "the reader of standard output went away")
        }
    }
}

fn alphabet(error: AlphabetError) -> Message {
    let reason = match error {
        AlphabetError::TooFew => "there are fewer than two",
        AlphabetError::Repeated => "one is there twice",
        AlphabetError::Control => "one is a control character",
    };
    Message::new(kinds::BAD_ALPHABET, format!("cannot make a password of these characters: {reason}"))
}

fn import(path: &std::path::Path, error: &CodecError) -> Message {
    let (kind, reason) = codec_reason(error.problem);
    let name = error.name.as_ref().map(|name| format!(" {}", quoted(name))).unwrap_or_default();
    let line = error.line.map(|line| format!(" in line {line}")).unwrap_or_default();
    let what = if name.is_empty() && line.is_empty() { String::new() } else { format!("{name}{line} of") };
    let message = Message::new(kind, format!("cannot import{what} {}: {reason}", quoted_path(path)));
    message.hint("nothing was stored")
}

/// Why a text of a foreign format cannot be read.
pub(super) fn codec_reason(problem: Problem) -> (&'static super::Kind, &'static str) {
    match problem {
        Problem::NotUtf8 => (kinds::IMPORT_SYNTAX, "it is not UTF-8 text"),
        Problem::Syntax => (kinds::IMPORT_SYNTAX, "it does not follow the format"),
        Problem::NoEquals => (kinds::IMPORT_SYNTAX, "there is no \"=\""),
        Problem::BadKey => {
            (kinds::IMPORT_SYNTAX, "the name has other characters than letters, digits, \"_\", \"-\", \".\"")
        }
        Problem::OpenQuote => (kinds::IMPORT_SYNTAX, "a quote is not closed"),
        Problem::AfterQuote => (kinds::IMPORT_SYNTAX, "only a comment may follow a closing quote"),
        Problem::NotAMap => (kinds::IMPORT_SYNTAX, "it is not a map of names to values"),
        Problem::SecondDocument => (kinds::IMPORT_SYNTAX, "there is a second document"),
        Problem::TooDeep => (kinds::IMPORT_SYNTAX, "maps are nested too deep"),
        Problem::KeyNotText => (kinds::IMPORT_SYNTAX, "a name is not text"),
        Problem::Duplicate => (kinds::IMPORT_DUPLICATE, "the name is there twice"),
        Problem::Null => (kinds::IMPORT_VALUE, "null is not a secret"),
        Problem::List => (kinds::IMPORT_VALUE, "a list is not a secret"),
        Problem::YamlReference => (kinds::IMPORT_VALUE, "anchors, aliases and tags are not read"),
        Problem::NotRepresentable => (kinds::IMPORT_VALUE, "the value is not text"),
    }
}

fn nothing_to_export(pattern: Option<&str>, prefix: &str, vault: &std::path::Path) -> Message {
    let begins = (!prefix.is_empty()).then(|| format!("begins with {}", quoted(&shortened(prefix))));
    let is_like = pattern.map(|pattern| format!("is like {}", quoted(&shortened(pattern))));
    let what: Vec<_> = begins.into_iter().chain(is_like).collect();
    let vault = quoted_path(vault);
    Message::new(kinds::NOTHING_BELOW, format!("no entry's name {} in vault {vault}", what.join(" and ")))
        .hint("nothing was written")
}

fn export(error: &CodecError) -> Message {
    let name = error.name.as_deref().map(quoted).unwrap_or_default();
    let message = match error.problem {
        Problem::BadKey => Message::new(
            kinds::EXPORT_VALUE,
            format!("cannot export {name}: the format does not allow such a name"),
        )
        .hint("leave a common beginning out with --prefix TEXT, or use --format json"),
        _ => Message::new(kinds::EXPORT_VALUE, format!("cannot export {name}: the value is not text"))
            .hint("use --format files"),
    };
    message.hint("nothing was written")
}

fn export_name(name: &str, problem: &ExportNameProblem) -> Message {
    let reason = match problem {
        ExportNameProblem::Twice => {
            let text = format!(
                "cannot export {}: an entry is named so, and a field of another would be, too",
                quoted(name)
            );
            return Message::new(kinds::EXPORT_NAME, text)
                .hint("nothing was written; export a part with a pattern, or rename the entry");
        }
        ExportNameProblem::Outside => "the name leads outside the folder, or is no path".to_owned(),
        ExportNameProblem::Clash(other) => {
            format!("it would be the same file or folder as {}", quoted(other))
        }
    };
    Message::new(kinds::EXPORT_NAME, format!("cannot export {} as a file: {reason}", quoted(name)))
        .hint("nothing was written; use --format json, or export a part with a pattern")
}

fn recipient(text: &str, error: RecipientError) -> Message {
    // Not repeated: it is a secret key, or one with a typing error.
    if error == RecipientError::SecretKey || text.to_ascii_uppercase().contains("SECRET") {
        return Message::new(
            kinds::BAD_RECIPIENT,
            "refusing a secret key on the command line: it can be seen by other programs",
        )
        .hint("give the recipient, which begins with age1; and make a new key: this one was seen");
    }
    Message::new(kinds::BAD_RECIPIENT, format!("cannot use recipient {}: {error}", quoted(&shortened(text))))
}

fn editor(error: &EditorError) -> Message {
    match error {
        EditorError::None => {
            Message::new(kinds::EDITOR, "cannot open an editor: neither VISUAL nor EDITOR is set")
        }
        EditorError::NotStarted(error) => caused(kinds::EDITOR, "cannot start the editor", error),
        EditorError::Failed => Message::new(kinds::EDITOR, "the editor failed").hint("nothing was changed"),
    }
}

/// Why a text is no name.
pub(super) fn name_reason(error: NameError) -> &'static str {
    match error {
        NameError::Empty => "it is empty",
        NameError::TooLong => "it is too long (entries 1,024 bytes, fields and attributes 128)",
        NameError::Nul => "it has a NUL character",
        _ => "it is not allowed",
    }
}

pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// "cannot …: reason of the system".
pub(super) fn caused(kind: &'static super::Kind, what: &str, error: &io::Error) -> Message {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "no space left".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        // The system's words, without the number.
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut characters = text.chars();
            characters
                .next()
                .map(|first| first.to_lowercase().chain(characters).collect())
                .unwrap_or_default()
        }
    };
    Message::new(kind, format!("{what}: {reason}")).cause(error)
}

/// A name as it can be pasted into a shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", escaped(text).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::input::Place;

    fn said(failure: &Failure) -> (String, String, u8) {
        let message = message(failure);
        (message.text, message.kind.id.to_owned(), message.kind.exit.number())
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_in_the_agreed_words() {
        let message = message(&Failure::SecretInArgv { name: "aws/key".to_owned() });
        assert_eq!(
            message.text,
            "refusing a secret on the command line: it would be visible to other programs and kept in the shell history"
        );
        assert_eq!(
            message.hints,
            ["type it at the prompt, or pipe it: printf %s \"$value\" | vault set aws/key"]
        );
        assert_eq!((message.kind.id, message.kind.exit.number()), ("secret-in-argv", 2));
    }

    #[test]
    fn paths_and_names_cannot_drive_the_terminal() {
        let path = PathBuf::from("a\x1b[2J\u{202e}");
        let error = CodecError { line: Some(3), name: Some("n\nm".to_owned()), problem: Problem::Null };
        let (text, ..) = said(&Failure::Import { path, error });
        assert_eq!(
            text,
            "cannot import \"n\\u{a}m\" in line 3 of \"a\\u{1b}[2J\\u{202e}\": null is not a secret"
        );
        let message = message(&Failure::SecretInArgv { name: "a'; rm\x1b".to_owned() });
        assert!(message.hints[0].ends_with("vault set 'a'\\''; rm\\u{1b}'"), "{}", message.hints[0]);
    }

    #[test]
    fn system_errors_are_words_and_not_numbers() {
        let failure = Failure::Input(InputError::Unreadable(
            Place::File("/x".into()),
            io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error()),
        ));
        let (text, id, exit) = said(&failure);
        assert!(text.starts_with("cannot read \"/x\": t") && !text.contains("os error"), "{text}");
        assert_eq!((id.as_str(), exit), ("input-unreadable", 1));
    }

    #[test]
    fn without_a_terminal_the_exit_code_says_locked() {
        let failure = Failure::Prompt { error: PromptError::NoTerminal, asking: "the secret" };
        assert_eq!(said(&failure).2, 4);
    }
}

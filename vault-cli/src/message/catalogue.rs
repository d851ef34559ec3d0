//! The tables: every exit code, and every message with its id. docs/exit-codes.md and docs/messages.md are made from them.

use std::fmt::Write;
use std::process::ExitCode;

/// How the program ends. Numbers and meanings never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// Any other failure.
    Failed,
    /// Bad arguments.
    Usage,
    /// No such entry or vault.
    NotFound,
    /// Needs unlocking and cannot ask.
    Locked,
    /// No slot opened.
    Denied,
    /// The file is not to be trusted.
    Integrity,
    /// Exists already, or changed meanwhile.
    Conflict,
    /// The user said no.
    Declined,
    /// A program could not be started.
    NotStarted,
    /// A program cannot be executed.
    NotExecutable,
    /// There is no such program.
    NoProgram,
    /// As the program ended that was run.
    Child(u8),
    /// A bug.
    Internal,
    /// As a shell shows a death by signal.
    Signal(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Locked => 4,
            Self::Denied => 5,
            Self::Integrity => 6,
            Self::Conflict => 7,
            Self::Declined => 8,
            Self::Internal => 70,
            Self::NotStarted => 125,
            Self::NotExecutable => 126,
            Self::NoProgram => 127,
            Self::Child(code) => code,
            Self::Signal(number) => 128 + number,
        }
    }

    /// For the return of `main`.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}

/// A kind of message: its id, how the program ends with it, and when it is said.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) id: &'static str,
    pub(crate) exit: Exit,
    #[cfg_attr(not(test), expect(dead_code, reason = "docs/messages.md is made from it, by a test"))]
    meaning: &'static str,
}

impl Kind {
    /// The word after the program's name.
    pub(crate) fn label(&self) -> &'static str {
        if self.exit == Exit::Internal { "internal error" } else { "error" }
    }
}

macro_rules! kinds {
    ($($name:ident = $id:literal, $exit:ident, $meaning:literal;)*) => {
        $(pub(super) const $name: &Kind = &Kind { id: $id, exit: Exit::$exit, meaning: $meaning };)*
        const KINDS: &[&Kind] = &[$($name),*];
    };
}

kinds! {
    USAGE = "usage", Usage, "The command line is not one of this program's.";
    SECRET_IN_ARGV = "secret-in-argv", Usage, "A secret was given as an argument.";
    KEY_IN_ARGV = "key-in-argv", Usage, "The text of a key was given as an argument, or where a path is expected.";
    STDIN_CLAIMED = "stdin-claimed", Usage, "Standard input was to be used for two things.";
    BAD_ALPHABET = "bad-alphabet", Usage, "A set of characters has too few, or one twice.";
    UNKNOWN_TOPIC = "unknown-topic", Usage, "There is no help on this.";
    INPUT_UNREADABLE = "input-unreadable", Failed, "A file, standard input or a descriptor cannot be read.";
    INPUT_TOO_LONG = "input-too-long", Failed, "What was read has more bytes than allowed.";
    EMPTY_PASSPHRASE = "empty-passphrase", Failed, "A passphrase has no characters.";
    PROMPT_DIFFERENT = "prompt-different", Failed, "What was typed twice is not the same.";
    TERMINAL_FAILED = "terminal-failed", Failed, "The terminal cannot be read or written.";
    PROMPT_DISMISSED = "prompt-dismissed", Locked, "The program that was to ask for a passphrase was dismissed.";
    ASKER_FAILED = "asker-failed", Locked, "The program that was to ask for a passphrase does not work.";
    WEAK_PASSPHRASE = "weak-passphrase", Failed, "A passphrase is easy to guess: an error in a git work tree, a warning elsewhere.";
    NO_TERMINAL = "no-terminal", Locked, "Something has to be typed and there is no terminal.";
    KEY_LOST = "key-lost", Failed, "A vault was made, and its machine key could not be given out.";
    OUTPUT_FAILED = "output-failed", Failed, "Standard output did not take the whole result.";
    BINARY_TO_TERMINAL = "binary-to-terminal", Failed, "A secret that is not text was to be shown on a terminal.";
    FILE_NOT_WRITTEN = "file-not-written", Failed, "A file or folder cannot be written.";
    NO_HOME = "no-home", Failed, "The user's own vault was meant and the environment names no home.";
    NO_CURRENT_FOLDER = "no-current-folder", Failed, "The current folder is gone or cannot be read.";
    NOT_HARDENED = "not-hardened", Failed, "The process could not forbid core files and other programs' eyes.";
    IMPORT_SYNTAX = "import-syntax", Failed, "A file to import does not follow its format.";
    IMPORT_VALUE = "import-value", Failed, "A file to import holds something that is no secret: a list, null, a reference.";
    IMPORT_DUPLICATE = "import-duplicate", Failed, "A file to import has a name twice.";
    EXPORT_VALUE = "export-value", Failed, "An entry cannot be written in this format.";
    IMPORT_NAME = "import-name", Failed, "A file to import has a name that no entry can have.";
    IMPORT_FORMAT = "import-format", Usage, "It is not clear which format a file to import has.";
    SOURCE_LOCKED = "source-locked", Locked, "A keyring to import from is locked.";
    SOURCE_DENIED = "source-denied", Denied, "The passphrase of a keyring to import from is another.";
    SOURCE_NOT_FOUND = "source-not-found", NotFound, "There is no such keyring to import from.";
    SOURCE_UNLISTED = "source-unlisted", Usage, "A keyring to import from cannot list what it holds.";
    SOURCE_FAILED = "source-failed", Failed, "A keyring to import from cannot be read.";
    SOURCE_CHANGED = "source-changed", Conflict, "What was imported is not what is read back; nothing was deleted.";
    IMPORT_LIST = "import-list", Usage, "A list of items to import has a line that is not a service and a user.";
    NOT_IMPORTED = "not-imported", Failed, "Something of a keyring was not imported, or not deleted from it: first a warning for each, then an error.";
    EXPORT_NAME = "export-name", Failed, "An entry's name cannot be a file's below the chosen folder.";
    EXPORT_TARGET = "export-target", Conflict, "An export would replace a vault, or what it was opened with.";
    NOTHING_TO_MERGE = "nothing-to-merge", Failed, "Git reports no conflict in the vault's file.";
    MERGE_NEEDS_KEY = "merge-needs-key", Locked, "Merging as text does not do it, and there is no key.";
    MERGE_REFUSED = "merge-refused", Conflict, "Two states of a vault cannot be merged, or a commit not be picked.";
    NOT_A_MERGE = "not-a-merge", Conflict, "A cherry-pick or a revert was to be merged.";
    BAD_NAME = "bad-name", Usage, "This cannot be the name of an entry, field or attribute.";
    BAD_TIME = "bad-time", Usage, "This is no time.";
    BAD_LABEL = "bad-label", Usage, "This cannot be the label of a slot.";
    BAD_RECIPIENT = "bad-recipient", Usage, "This is not an age recipient that can be used.";
    BAD_KDF_MEMORY = "bad-kdf-memory", Usage, "The memory for a passphrase is outside the limits.";
    TOO_MANY_SLOTS = "too-many-slots", Usage, "A vault cannot have so many slots.";
    SLOT_NOT_FOUND = "slot-not-found", NotFound, "There is no key slot of this label.";
    LABEL_TAKEN = "label-taken", Conflict, "Another key slot has the label.";
    LAST_SLOT = "last-slot", Failed, "Nobody could open the vault after this key slot was removed, or after this rotation.";
    KEYRING_UNAVAILABLE = "keyring-unavailable", Locked, "A keyring of the operating system cannot be used here.";
    NEEDS_YES = "needs-yes", Locked, "Somebody has to say yes, and there is nobody to ask.";
    SYSTEMD_CREDS = "systemd-creds", Failed, "systemd-creds cannot encrypt a machine key.";
    SLOT_NOT_MADE = "slot-not-made", Failed, "A slot cannot be made.";
    ENTRY_NOT_FOUND = "entry-not-found", NotFound, "There is no entry of this name.";
    ATTRIBUTE_NOT_FOUND = "attribute-not-found", NotFound, "The entry has no such attribute.";
    FIELD_NOT_FOUND = "field-not-found", NotFound, "The entry has no such field.";
    VAULT_NOT_FOUND = "vault-not-found", NotFound, "There is no vault at this path.";
    VAULT_EXISTS = "vault-exists", Conflict, "There is something already where a vault is to be made.";
    VAULT_UNREADABLE = "vault-unreadable", Failed, "The vault's file cannot be read.";
    NOT_A_VAULT = "not-a-vault", Integrity, "The file is not a vault, or one of an unknown version.";
    DAMAGED = "damaged", Integrity, "The file is not as a vault should be.";
    CONFLICT_MARKERS = "conflict-markers", Integrity, "A merge left its conflict in the file.";
    TAMPERED = "tampered", Integrity, "The file is not a real state of the vault.";
    MISSING_PARENT = "missing-parent", Integrity, "The log lacks a seal, as after a cherry-pick, a revert, or a conflict settled by taking one side.";
    ROLLED_BACK = "rolled-back", Integrity, "The vault is older than the machine key says, or lacks what this machine has seen; a warning when it is only read.";
    OTHER_VAULT = "other-vault", Integrity, "The machine key or VAULT_ID is another vault's, or the vault was replaced or rotated.";
    NOT_PINNED = "not-pinned", Failed, "A warning, or with require-pin an error: this machine cannot remember the vault.";
    UNKNOWN_STATE = "unknown-state", Integrity, "A warning before a change, or an error of the agent: the branch is new, and nothing that was seen here is in it.";
    SLOTS_CHANGED = "slots-changed", Failed, "A warning: key slots were added, removed or exchanged since this machine last looked.";
    BAD_VAULT_ID = "bad-vault-id", Usage, "VAULT_ID or --vault-id names no vault.";
    BAD_CONFIG = "bad-config", Failed, "The config file cannot be used.";
    KDF_TOO_COSTLY = "kdf-too-costly", Integrity, "A slot asks for more memory than is allowed.";
    LOCKED_NO_TERMINAL = "locked-no-terminal", Locked, "There is nothing to unlock with, and nobody to ask.";
    UNLOCK_NO_SLOT_MATCHES = "unlock-no-slot-matches", Denied, "No key slot opened.";
    SLOT_UNAVAILABLE = "slot-unavailable", Locked, "A key slot cannot be tried: its keyring, plugin or ssh key is not available; a warning if another one opens.";
    NO_SUCH_SLOT = "no-such-slot", Denied, "No key slot has this label.";
    TOO_MANY_PASSPHRASE_SLOTS = "too-many-passphrase-slots", Denied, "There are too many passphrase slots to try.";
    BAD_IDENTITIES = "bad-identities", Failed, "What was given as identities or as a machine key is none.";
    NOT_ENOUGH_MEMORY = "not-enough-memory", Failed, "There is not enough memory for a passphrase slot.";
    BUSY = "busy", Conflict, "Another process is changing the vault.";
    COMMIT_CONFLICT = "commit-conflict", Conflict, "The vault was changed meanwhile.";
    ENTRY_EXISTS = "entry-exists", Conflict, "There is an entry or field of this name.";
    IN_CONFLICT = "in-conflict", Conflict, "The entry has several versions after a merge; a warning of check, which --strict makes an error.";
    TOO_LARGE = "too-large", Failed, "A value or entry is larger than allowed.";
    NOTHING_CHANGED = "nothing-changed", Failed, "There was nothing to change.";
    NOT_SAVED = "not-saved", Failed, "The vault cannot be saved.";
    MAYBE_NOT_DURABLE = "maybe-not-durable", Failed, "The vault was saved, but may not survive a power cut.";
    NO_MEMORY_FOLDER = "no-memory-folder", Failed, "There is no folder in memory for the editor's file.";
    EDITOR = "editor", Failed, "There is no editor, or it failed.";
    NOT_EDITABLE = "not-editable", Failed, "The value is no text, or too long for an editor.";
    NOTHING_TO_SALVAGE = "nothing-to-salvage", Integrity, "Nothing of a damaged file opens.";
    BAD_REFERENCE = "bad-reference", Usage, "This is no reference to a secret.";
    BAD_TEMPLATE = "bad-template", Failed, "A template or an environment file is not as it should be.";
    BAD_VARIABLE = "bad-variable", Usage, "This cannot be a variable's name, or it is set twice.";
    NOT_FOR_VARIABLE = "not-for-variable", Failed, "No environment variable can hold this value.";
    NOTHING_BELOW = "nothing-below", NotFound, "No entry's name begins so, or is like that.";
    INHERITED_DESCRIPTOR = "inherited-descriptor", Usage, "The program would inherit the file that the passphrase was read from.";
    NO_MEMORY_FOR_FILES = "no-memory-for-files", Failed, "There is no storage in memory for a program's files.";
    NOT_EXECUTABLE = "not-executable", NotExecutable, "The program that was to be run cannot be executed.";
    PROGRAM_LOST = "program-lost", Failed, "The program was run, and the system does not say how it ended.";
    PROGRAM_NOT_FOUND = "program-not-found", NoProgram, "The program that was to be run was not found.";
    NO_REPOSITORY = "no-repository", NotFound, "The vault is in no work tree of git.";
    COMMIT_NOT_FOUND = "commit-not-found", NotFound, "There is no such commit, or it does not have the vault.";
    GIT_FAILED = "git-failed", Failed, "Git cannot be run, or said no.";
    LEAK_FOUND = "leak-found", Integrity, "Values of the vault were found where they should not be.";
    BAD_POLICY = "bad-policy", Failed, "vault.toml cannot be read or understood.";
    AGAINST_POLICY = "against-policy", Integrity, "The vault is, or would be, against the rules in vault.toml.";
    VALUES_TO_PROGRAM = "values-to-program", Usage, "Values were to be compared, and not on a terminal.";
    DOOR_TAKEN = "door-taken", Conflict, "Something of somebody else stands where a door's file belongs.";
    DOOR_REQUEST = "door-request", Usage, "A request through a door is not understood.";
    KEYRING_DISABLED = "keyring-disabled", Failed, "Python's keyring was switched off, so nothing is stored through it.";
    DECLINED = "declined", Declined, "You said no.";
    AGENT_LOCKED = "agent-locked", Locked, "The agent does not hold this vault.";
    AGENT_REPLACED = "agent-replaced", Locked, "The vault was rotated or replaced since the agent unlocked it.";
    AGENT_VERSION = "agent-version", Failed, "The agent and its client speak different versions.";
    AGENT_UNKNOWN_REQUEST = "agent-unknown-request", Failed, "The agent does not know this request.";
    AGENT_BAD_REQUEST = "agent-bad-request", Failed, "A request to the agent is not as the protocol describes it.";
    AGENT_TOO_LARGE = "agent-too-large", Failed, "More than the agent takes or gives at once.";
    AGENT_BUSY = "agent-busy", Conflict, "The agent has as much to do as it takes at once.";
    AGENT_PROTOCOL = "agent-protocol", Failed, "What the agent says cannot be understood.";
    AGENT_LOST = "agent-lost", Failed, "The agent ended before it answered.";
    AGENT_REFUSED = "agent-refused", Failed, "The agent's socket, or the place for it, is not to be trusted or cannot be used.";
    AGENT_RUNNING = "agent-running", Conflict, "There is an agent already.";
    AGENT_NOT_STARTED = "agent-not-started", Failed, "The agent could not be started.";
    AGENT_NOT_RUNNING = "agent-not-running", NotFound, "No agent runs.";
    OTHER_AGENT = "other-agent", Failed, "A warning: the agent speaks another version and is not used.";
    BUG = "bug", Internal, "Something that cannot happen did.";
    ENTRY_EXPIRED = "entry-expired", Failed, "A warning: the entry is past its expiry.";
    EMPTY_VALUE = "empty-value", Failed, "A warning: standard input was empty, and replaces a secret.";
    NOT_MASKED = "not-masked", Failed, "A warning: a value is too short or too long to be masked.";
    SAME_ITEM = "same-item", Failed, "A warning: several entries are the same item of a keyring.";
    NO_GITATTRIBUTES = "no-gitattributes", Failed, "A warning: .gitattributes lacks the line for the vault.";
}

/// The kind with this id; if it is of another version, one with the same exit code.
pub(super) fn by_id(id: &str, exit: u8) -> &'static Kind {
    let known = KINDS.iter().find(|kind| kind.id == id && kind.exit.number() == exit);
    let same_exit = || match exit {
        2 => USAGE,
        3 => ENTRY_NOT_FOUND,
        4 => AGENT_LOCKED,
        5 => UNLOCK_NO_SLOT_MATCHES,
        6 => DAMAGED,
        7 => AGENT_BUSY,
        8 => DECLINED,
        _ => AGENT_PROTOCOL,
    };
    known.copied().unwrap_or_else(same_exit)
}

/// The table of exit codes, as `vault help exit-codes` prints it.
pub(crate) fn exit_codes() -> String {
    let mut table = String::from("Exit codes of vault. Unknown ones mean failure.\n\n");
    for (code, name, when) in EXIT_CODES {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "  {code:<6} {name:<10} {when}");
    }
    table
}

const EXIT_CODES: [(&str, &str, &str); 14] = [
    ("0", "ok", "done; for check, nothing wrong"),
    ("1", "failed", "any other failure (I/O, permissions, out of space)"),
    ("2", "usage", "bad arguments"),
    ("3", "not-found", "no such entry or vault"),
    ("4", "locked", "needs unlocking and cannot ask"),
    ("5", "denied", "no slot opened: wrong passphrase or identity"),
    ("6", "integrity", "tampered, damaged, rolled back, unsupported version, beyond limits"),
    ("7", "conflict", "exists already, changed meanwhile, busy"),
    ("8", "declined", "you said no"),
    ("125", "not-started", "run: could not unlock, look up or start; nothing was started"),
    ("126", "no-exec", "run: the program cannot be executed"),
    ("127", "no-program", "run: the program was not found"),
    ("70", "internal", "a bug; the message asks for a report"),
    ("128+n", "signal", "died by signal n (130 Ctrl-C, 141 pipe)"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn ids_are_different_and_well_formed() {
        let mut seen = HashSet::new();
        for kind in KINDS {
            assert!(seen.insert(kind.id), "{} is there twice", kind.id);
            assert!(kind.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", kind.id);
        }
    }

    #[test]
    fn every_exit_code_of_a_message_is_in_the_table() {
        for kind in KINDS {
            let number = kind.exit.number().to_string();
            assert!(EXIT_CODES.iter().any(|(code, ..)| *code == number), "{}", kind.id);
        }
    }

    #[test]
    fn docs_messages_is_made_from_the_table() {
        let mut page = String::from(
            "# Messages\n\nMade from the table in `vault-cli/src/message/catalogue.rs`; to make it again, run the tests with \
             `UPDATE_DOCS=1`.\nWith `--json`, an error is one object on standard error: `version`, `id`, `text`, `hints`, \
             `exit`; one that says several things has them as a list in `parts`, too.\n\n| Id | Exit | When |\n|---|---|---|\n",
        );
        let mut kinds = KINDS.to_vec();
        kinds.sort_by_key(|kind| kind.id);
        for kind in kinds {
            writeln!(page, "| `{}` | {} | {} |", kind.id, kind.exit.number(), kind.meaning).unwrap();
        }
        compare("messages.md", &page);
    }

    #[test]
    fn docs_exit_codes_is_made_from_the_table() {
        let mut page = String::from(
            "# Exit codes\n\nMade from the table in `vault-cli/src/message/catalogue.rs`; to make it again, run the tests with \
             `UPDATE_DOCS=1`.\nStable: numbers and meanings do not change. Unknown ones mean failure.\n\n\
             | Code | Name | When |\n|---|---|---|\n",
        );
        for (code, name, when) in EXIT_CODES {
            writeln!(page, "| {code} | {name} | {when} |").unwrap();
        }
        compare("exit-codes.md", &page);
    }

    fn compare(name: &str, page: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, page, "docs/{name} is not up to date: run the tests with UPDATE_DOCS=1");
    }
}

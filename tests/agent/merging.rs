//! What the agent makes of several states: asked for in its own words, and given to the client as ciphertext.

use std::fs;
use std::path::{Path, PathBuf};

use vault_core::agent::message::{
    self, Covered, Covers, Error, Facts, Lock, Made, MadePart, Merge, Open, Opened, Pick, VaultPath, Written,
};
use vault_core::agent::{ReplyKind, Request, content};
use vault_core::secret::Secret;

use super::home::{AgentHome, Client};

const OURS: &str = "our-value-of-a";
const THEIRS: &str = "their-value-of-a";

/// The vault that is held, its state before `a` was changed, and another state of it where `a` is another.
struct Parted {
    agent: AgentHome,
    base: PathBuf,
    theirs: PathBuf,
}

impl Parted {
    fn new() -> Self {
        let agent = AgentHome::new();
        agent.unlock();
        agent.set("a", "base");
        let [base, theirs] = ["base.vault", "theirs.vault"].map(|name| agent.home.work().join(name));
        fs::copy(agent.home.file(), &base).unwrap();
        fs::copy(agent.home.file(), &theirs).unwrap();
        agent.set("a", OURS);
        let set = agent.vault(["set", "--raw", "--file", "theirs.vault", "a"]).stdin(THEIRS);
        set.env("VAULT_PASSPHRASE_FILE", agent.home.beside("passphrase")).ok();
        Self { agent, base, theirs }
    }

    fn vault(&self) -> VaultPath {
        VaultPath::new(&self.agent.home.file()).unwrap()
    }

    /// Stores it as every writer does: what is open stays what it was.
    fn put(&self, text: &[u8]) {
        let new = self.agent.home.beside("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.agent.home.file()).unwrap();
    }

    fn open(&self, client: &mut Client, other: Option<&Path>) -> u64 {
        let other = other.map(|path| VaultPath::new(path).unwrap());
        let (kind, body) = client.ask(&Request::Open(Open { vault: self.vault(), other }));
        assert_eq!(kind, ReplyKind::Result);
        content::<Opened>(body.expose()).unwrap().state
    }

    fn merge(&self, ours: u64, theirs: u64, base: Option<u64>) -> Request {
        Request::Merge(Merge { vault: self.vault(), author: "ann".to_owned(), ours, theirs, base })
    }
}

/// All parts together, and the result.
fn made(client: &mut Client, request: &Request) -> (Vec<u8>, MadePart, Made) {
    let (mut text, mut names) = (Vec::new(), MadePart::default());
    let (mut kind, mut body) = client.ask(request);
    while kind == ReplyKind::Part {
        let no_value = |value: &str| body.expose().windows(value.len()).all(|some| some != value.as_bytes());
        assert!(no_value(OURS) && no_value(THEIRS), "a value left the agent");
        let part: MadePart = content(body.expose()).unwrap();
        text.extend(part.text.iter().flat_map(|text| text.0.expose().to_vec()));
        names.conflicts = names.conflicts.or(part.conflicts);
        names.changed = names.changed.or(part.changed);
        (kind, body) = client.reply();
    }
    assert_eq!(kind, ReplyKind::Result, "{}", refusal(&body).3);
    (text, names, content(body.expose()).unwrap())
}

fn refusal(body: &Secret) -> (String, u8, Vec<String>, String) {
    match content::<Error>(body.expose()) {
        Ok(error) => (error.id, error.exit, error.hints.unwrap_or_default(), error.text),
        Err(_) => (String::new(), 0, Vec::new(), "no error".to_owned()),
    }
}

#[track_caller]
fn refused(client: &mut Client, request: &Request, id: &str, exit: u8) {
    let (kind, body) = client.ask(request);
    let said = refusal(&body);
    assert_eq!((kind, said.0.as_str(), said.1), (ReplyKind::Error, id, exit), "{}", said.3);
}

#[test]
fn a_merge_gives_the_client_ciphertext_which_is_remembered_once_it_says_that_it_is_written() {
    let parted = Parted::new();
    let mut client = parted.agent.connect();
    let (ours, theirs) = (parted.open(&mut client, None), parted.open(&mut client, Some(&parted.theirs)));
    let base = parted.open(&mut client, Some(&parted.base));
    let covers = |client: &mut Client, state, other| {
        let (_, body) = client.ask(&Request::Covers(Covers { vault: parted.vault(), state, other }));
        content::<Covered>(body.expose()).unwrap().covers
    };
    assert!(covers(&mut client, ours, base) && covers(&mut client, ours, ours));
    assert!(!covers(&mut client, base, ours) && !covers(&mut client, ours, theirs));

    let (text, names, merged) = made(&mut client, &parted.merge(ours, theirs, Some(base)));
    assert_eq!(names.conflicts.unwrap().iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!(merged.facts.older.is_none() && merged.apart.is_none() && merged.left_slots.is_none());
    assert!(![ours, theirs, base].contains(&merged.state));
    assert!(covers(&mut client, merged.state, theirs) && covers(&mut client, merged.state, ours));
    // Nothing is written, nor remembered: the vault here is as new as ever.
    let before = fs::read(parted.agent.home.file()).unwrap();
    assert_eq!(parted.agent.vault(["get", "a"]).ok().stderr, "");
    parted.put(&text);
    let written = Request::Written(Written { vault: parted.vault(), state: merged.state });
    let (_, body) = client.ask(&written);
    let facts: Facts = content(body.expose()).unwrap();
    assert_eq!((facts.generation, facts.older), (merged.facts.generation, None));
    parted.put(&before);
    parted.agent.vault(["list"]).ok().says("seen here (generation");
    // And so a merge that lacks it is told apart.
    let (_, _, again) = made(&mut client, &parted.merge(ours, base, None));
    assert_eq!(
        (again.state, again.facts.older),
        (ours, Some(merged.facts.generation)),
        "it is ours, and older"
    );
    parted.put(&text);
    assert!(parted.agent.vault(["check"]).ok().text().contains("everything verifies"));
    assert_eq!(parted.agent.vault(["get", "a", "--theirs", "1"]).ok().text(), THEIRS);
}

#[test]
fn a_pick_gives_ciphertext_and_the_names_that_it_changed() {
    let parted = Parted::new();
    let mut client = parted.agent.connect();
    let (present, after) = (parted.open(&mut client, None), parted.open(&mut client, Some(&parted.theirs)));
    let before = parted.open(&mut client, Some(&parted.base));
    let pick = |present, before, after, undo: bool| {
        let (vault, author, reason) = (parted.vault(), "ann".to_owned(), "pick 0123456789ab".to_owned());
        let undo = undo.then_some(message::Flag);
        Request::Pick(Pick { vault, author, present, before, after, reason, undo })
    };
    let (text, names, undone) = made(&mut client, &pick(present, before, present, true));
    assert_eq!(names.changed.unwrap()[0].as_str(), "a");
    assert!(names.conflicts.is_none());
    parted.put(&text);
    assert_eq!(parted.agent.vault(["get", "a"]).ok().text(), "base");
    // That was seen here: the state before it is older now.
    refused(&mut client, &pick(present, before, after, false), "rolled-back", 6);
    let present = parted.open(&mut client, None);
    let (text, names, picked) = made(&mut client, &pick(present, before, after, false));
    assert_eq!(names.changed.unwrap()[0].as_str(), "a");
    assert!(names.conflicts.is_none());
    assert_eq!(picked.facts.generation, undone.facts.generation + 1);
    parted.put(&text);
    assert_eq!(parted.agent.vault(["get", "a"]).ok().text(), THEIRS);
    let log = parted.agent.vault(["log", "a", "--json"]).ok();
    assert!(log.text().contains("ann") && log.text().contains("pick 0123456789ab"), "{}", log.text());
    // What would change nothing, and what goes back, is refused in the same words as everywhere.
    let present = parted.open(&mut client, None);
    refused(&mut client, &pick(present, before, before, false), "nothing-changed", 1);
    refused(&mut client, &pick(present, after, before, false), "merge-refused", 7);
}

#[test]
fn states_that_are_not_open_are_of_two_vaults_or_were_locked_are_not_merged() {
    let parted = Parted::new();
    let agent = &parted.agent;
    agent
        .vault([
            "init",
            "--file",
            "other.vault",
            "--kdf-memory",
            "19MiB",
            "--passphrase-file",
            "../passphrase",
        ])
        .ok();
    let unlock = agent.vault(["unlock", "--file", "other.vault", "--passphrase-file", "../passphrase"]);
    unlock.ok();
    let mut client = agent.connect();
    let (ours, theirs) = (parted.open(&mut client, None), parted.open(&mut client, Some(&parted.theirs)));
    let other = VaultPath::new(&agent.home.work().join("other.vault")).unwrap();
    let (_, body) = client.ask(&Request::Open(Open { vault: other.clone(), other: None }));
    let foreign = content::<Opened>(body.expose()).unwrap().state;
    refused(&mut client, &parted.merge(ours, foreign, None), "agent-bad-request", 1);
    refused(&mut client, &parted.merge(ours, 99, None), "agent-locked", 4);
    // The place is another vault's, as far as this machine knows.
    let written = Request::Written(Written { vault: other, state: ours });
    refused(&mut client, &written, "other-vault", 6);
    agent.vault(["get", "a"]).ok();
    // The file is not read for what is done with states: git may have left a conflict in it.
    let text = fs::read(agent.home.file()).unwrap();
    parted.put(b"<<<<<<< ours\n");
    let again = parted.open(&mut client, Some(&parted.base));
    assert!(!made(&mut client, &parted.merge(ours, theirs, Some(again))).0.is_empty());
    parted.put(&text);
    // Another connection's states are not this one's, and nothing is open once the vault is locked.
    refused(&mut agent.connect(), &parted.merge(ours, theirs, None), "agent-locked", 4);
    client.ask(&Request::Lock(Lock { vault: Some(parted.vault()) }));
    refused(&mut client, &parted.merge(ours, theirs, None), "agent-locked", 4);
}

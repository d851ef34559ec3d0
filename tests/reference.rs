//! What Rust writes, Python reads, and the other way round: both find the same in it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::format::front::Pages;
use vault_core::keys::Credential;
use vault_core::secret::{Passphrase, Secret};
use vault_core::vault::blob::BlobWriter;
use vault_core::vault::edit::{NewValue, Update};
use vault_core::vault::merge::{MergeContext, Merged, merge};
use vault_tests::fixture::{Fixture, identities, identity_file, inline, machine_key_file, name, read};
use vault_tests::python::{Opener, Reader, interpreter, root};

const PHRASE: &[u8] = "correct horse, caf\u{e9}".as_bytes();

fn attachment(size: usize) -> Update {
    let value: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut lines = Vec::new();
    let blob = BlobWriter::write(&mut &value[..], 1 << 21, &mut lines, &mut SystemRandom).unwrap();
    let value = NewValue::Attachment(blob.finish(Arc::new(lines), 0));
    Update { fields: BTreeMap::from([("secret".to_owned(), Some(value))]), ..Update::default() }
}

/// A vault with something of everything that a writer writes.
fn full(pages: Pages) -> Fixture {
    let random = &mut SystemRandom;
    let mut vault = Fixture::with_passphrase(pages, PHRASE);
    for entry in ["plain", "cafe\u{301}", "\u{65e5}\u{672c}", "to-rename", "to-remove", "\u{202e}bidi\n"] {
        vault = vault.set(entry, entry.as_bytes());
    }
    vault.edit(|edit| {
        let update = Update {
            attributes: BTreeMap::from([
                ("url".to_owned(), Some("https://example.org".to_owned())),
                ("bb".to_owned(), Some(String::new())),
                ("c".to_owned(), Some("x".to_owned())),
            ]),
            expires: Some(Some(9_999_999_999)),
            ..inline("token", &[0, 255, 10])
        };
        edit.set(&name("plain"), update, random).unwrap();
        edit.set(&name("plain"), inline("empty", b""), random).unwrap();
        edit.set(&name("files/small"), attachment(0), random).unwrap();
        edit.set(&name("files/large"), attachment(200_000), random).unwrap();
        edit.set(&name("files/large"), inline("note", b"n"), random).unwrap();
        for i in 0..10 {
            edit.set(&name("overflow"), inline(&format!("f{i}"), &[7; 16_000]), random).unwrap();
        }
        edit.rename(&name("to-rename"), &name("renamed"), random).unwrap();
        edit.remove(&name("to-remove")).unwrap();
    })
}

fn compact(vault: &Fixture, pages: Pages) -> Fixture {
    let saved = vault.unlock().compact(pages, "tester", Some("smaller"), 3_000, &mut SystemRandom).unwrap();
    vault.with(saved.text.to_vec().unwrap())
}

/// Everything that a keyed merge can put in conflict, and what it can unite.
fn in_conflict(base: &Fixture) -> Fixture {
    let side = |value: &[u8], expires: Option<u64>, url: Option<&str>, size: usize| {
        base.edit(|edit| {
            let random = &mut SystemRandom;
            let update = Update {
                attributes: BTreeMap::from([("url".to_owned(), url.map(str::to_owned))]),
                expires: Some(expires),
                ..inline("token", value)
            };
            edit.set(&name("plain"), update, random).unwrap();
            edit.set(&name("files/large"), attachment(size), random).unwrap();
            if size == 0 {
                edit.remove(&name("overflow")).unwrap();
                edit.rename(&name("renamed"), &name("renamed/theirs"), random).unwrap();
            } else {
                edit.set(&name("overflow"), inline("f0", b"changed"), random).unwrap();
                edit.rename(&name("renamed"), &name("renamed/ours"), random).unwrap();
                edit.set(&name("only/ours"), inline("secret", b"1"), random).unwrap();
            }
        })
    };
    let ours = side(b"ours", Some(7), Some("https://ours.example"), 70_000);
    let theirs = side(b"theirs", None, None, 0);
    let mut context = MergeContext { now: 9, author: "merger", random: &mut SystemRandom };
    let merged = match merge(&ours.unlock(), &theirs.unlock(), Some(&base.unlock()), &mut context) {
        Ok(Merged::New(merged)) => merged,
        Ok(_) => panic!("each side has something new"),
        Err(error) => panic!("{error}"),
    };
    assert!(merged.conflicts.len() >= 4, "{:?}", merged.conflicts);
    base.with(merged.text.to_vec().unwrap())
}

#[test]
fn python_finds_the_same_in_what_rust_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::start();
    for pages in [Pages::Few, Pages::Many] {
        let vault = full(pages);
        let (ours, theirs) = vault_tests::oracle::two_branches(&vault);
        let tips =
            vault_tests::oracle::merge_text(&vault, &ours, &theirs).expect("they change different pages");
        assert_eq!(tips.unlock().tips().len(), 2);
        let other = match pages {
            Pages::Few => Pages::Many,
            Pages::Many => Pages::Few,
        };
        let compacted = compact(&tips, other);
        let states = [
            ("new", Fixture::with_passphrase(pages, PHRASE)),
            ("in conflict", in_conflict(&vault)),
            ("joined", tips.set("joins", b"both")),
            ("compacted again", compact(&compacted.set("after", b"compaction"), pages)),
            ("full", vault),
            ("tips", tips),
            ("compacted", compacted),
        ];
        for (what, state) in states {
            let path = |name: &str, bytes: &[u8]| {
                let path = folder.path().join(name);
                fs::write(&path, bytes).unwrap();
                path
            };
            let file = path("vault", &state.text);
            let identity = path("identity", state.keys.identity.expose());
            let machine = path("machine", state.keys.machine.expose());
            let phrase = path("phrase", &state.keys.passphrase);
            let found = read(&state.text, identity_file(state.keys.identity.expose()));
            assert_eq!(found["outcome"], "ok", "{what}: {found}");
            for opener in
                [Opener::Identity(&identity), Opener::MachineKey(&machine), Opener::Passphrase(&phrase)]
            {
                assert_eq!(reader.read(&file, opener), found, "{what}");
            }
            // And every slot gives Rust the same.
            let credential = machine_key_file(state.keys.machine.expose());
            assert_eq!(read(&state.text, credential), found, "{what}");
            let credential = Credential::Passphrase(Passphrase::new(PHRASE.to_vec()));
            assert_eq!(read(&state.text, Ok(credential)), found, "{what}");
        }
    }
}

/// Writes vaults with the writer in Python, each with many random steps.
const RANDOM_VAULTS: &str = r"
import random, sys
sys.path.insert(0, sys.argv[1])
from vault_writer import Writer
for seed in range(24):
    chance = random.Random(seed)
    vault = Writer([256, 4096][seed % 8 == 7], seed)
    slot = vault.add_slot('ann')
    vault.write_roster()
    vault.commit([0], {5: [[0, slot]]})
    names = ['n%d' % n for n in range(9)] + ['caf\u00e9', '\u65e5\u672c']
    there, other = set(), None
    for step in range(chance.randrange(1, 25)):
        name = chance.choice(names)
        if chance.random() < 0.2 and name in there:
            there.discard(name)
            vault.commit([vault.remove(name)], {4: [{1: 1, 2: name}]})
        elif chance.random() < 0.1:
            vault.restart('smaller')
        else:
            there.add(name)
            fields = {f: [chance.randbytes(chance.choice([0, 9, 60000]))] if chance.random() < 0.2 else chance.randbytes(chance.choice([0, 1, 40, 900, 5000]))
                      for f in chance.sample(['secret', 'pin', 'token', '\u00fc'], chance.randrange(1, 4))}
            attributes = {a: 'v' * chance.randrange(99) for a in chance.sample(['url', 'user', 'bb', 'a'], chance.randrange(3))}
            place = vault.set(name, fields, attributes, chance.choice([None, 0, 1 << 40]))
            vault.commit([place], {4: [{1: 0, 2: name, 4: sorted(fields, key=str.encode)}]}, chance.choice([None, 'why']))
    open(f'{sys.argv[2]}/{seed}.vault', 'wb').write(vault.text())
    open(f'{sys.argv[2]}/{seed}.identity', 'w').write(str(vault.identities[slot]))
";

#[test]
fn rust_finds_the_same_in_what_python_writes() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("write.py");
    fs::write(&script, RANDOM_VAULTS).unwrap();
    let status = Command::new(interpreter())
        .arg("-B")
        .arg(&script)
        .arg(root().join("tests/reference"))
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    let mut reader = Reader::start();
    let (mut entries, mut compacted) = (0, 0);
    for seed in 0..24 {
        let file = folder.path().join(format!("{seed}.vault"));
        let identity = folder.path().join(format!("{seed}.identity"));
        let text = Arc::new(fs::read(&file).unwrap());
        let key = Secret::new(fs::read(&identity).unwrap());
        let found = read(&text, Ok(identities(&key)));
        assert_eq!(found["outcome"], "ok", "seed {seed}: {found}");
        assert_eq!(found, reader.read(&file, Opener::Identity(&identity)), "seed {seed}");
        entries += found["vault"]["entries"].as_object().unwrap().len();
        compacted +=
            usize::from(found["vault"]["log"].as_array().unwrap().iter().any(|line| line["restart"] == true));
    }
    assert!(entries > 50 && compacted > 2, "{entries} entries, {compacted} compacted");
}

#[test]
fn the_tests_of_the_reader_in_python_pass() {
    let output = Command::new(interpreter())
        .args(["-B", "-m", "unittest", "--quiet"])
        .current_dir(root().join("tests/reference"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // `unittest` succeeds when it finds nothing, too.
    let count = said.split("Ran ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(count.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 50), "{said}");
}

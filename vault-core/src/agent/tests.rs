//! Messages come back as they were, and nothing but them is taken.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::change::{Change, Expect, Incoming, Set};
use super::message::*;
use super::{request as request_frame, *};
use crate::format::entry::EntryName;

/// Choices that a strategy made, so that what has no `Debug` needs none.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn roll(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let (bytes, shift) = ([(); 8].map(|()| self.roll()), self.roll() % 64);
        u64::from_be_bytes(bytes) >> shift
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll() % 2 == 1).then(|| make(self))
    }

    fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll() % 4).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        let length = 1 + self.roll() % 30;
        (0..length).map(|_| ['a', 'b', '/', ' ', '\u{e9}'][usize::from(self.roll() % 5)]).collect()
    }

    fn secret(&mut self) -> Secret {
        let length = 1 + usize::from(self.roll()) * usize::from(self.roll() % 3);
        Secret::new((0..length).map(|_| self.roll()).collect())
    }

    fn name(&mut self) -> EntryName {
        EntryName::parse(&self.text()).unwrap()
    }

    fn path(&mut self) -> VaultPath {
        VaultPath::new(Path::new(&format!("/{}", self.text()))).unwrap()
    }

    fn credential(&mut self) -> Credential {
        match self.roll() % 4 {
            3 => Credential::RecoveryCode(self.secret()),
            0 => Credential::Passphrase(self.secret()),
            1 => Credential::Identities(self.secret()),
            _ => Credential::MachineKey(self.secret()),
        }
    }

    fn change(&mut self) -> Change {
        match self.roll() % 7 {
            0 => Change::Remove(self.name()),
            3 => Change::Resolve(self.name(), self.roll().is_multiple_of(2).then(|| self.number())),
            1 => Change::Rename(self.name(), self.name()),
            2 => Change::Copy(self.name(), self.name()),
            _ => {
                let incoming = |dice: &mut Self| match dice.roll() % 2 {
                    0 => Incoming::Short(dice.secret()),
                    _ => Incoming::Attached(dice.number()),
                };
                let expect = |dice: &mut Self| match dice.roll() % 3 {
                    0 => Expect::Entry,
                    1 => Expect::NoField(dice.text()),
                    _ => Expect::Value(dice.text(), dice.secret()),
                };
                Change::Set(Box::new(Set {
                    name: self.name(),
                    fields: self.some(|dice| (dice.text(), dice.maybe(incoming))).into_iter().collect(),
                    attributes: self.some(|dice| (dice.text(), dice.maybe(Self::text))).into_iter().collect(),
                    expires: self.maybe(|dice| dice.maybe(Self::number)),
                    expect: self.maybe(expect),
                }))
            }
        }
    }

    fn request(&mut self) -> Request {
        let vault = self.path();
        let state = self.maybe(Self::number);
        match self.roll() % 26 {
            21 => Request::Differ(Differ { vault, older: self.number(), newer: self.number() }),
            22 => Request::Merge(Merge {
                vault,
                author: self.text(),
                ours: self.number(),
                theirs: self.number(),
                base: state,
            }),
            23 => Request::Pick(Pick {
                vault,
                author: self.text(),
                present: self.number(),
                before: self.number(),
                after: self.number(),
                reason: self.text(),
                undo: self.maybe(|_| Flag),
            }),
            24 => Request::Covers(Covers { vault, state: self.number(), other: self.number() }),
            25 => Request::Written(Written { vault, state: self.number() }),
            0 => Request::Hello(Hello { versions: self.some(Self::number), program: self.text() }),
            1 => Request::Status(Status {}),
            2 => Request::Unlock(Unlock {
                vault,
                credentials: self.some(Self::credential),
                lease: self.maybe(Self::number),
                idle: self.maybe(Self::number),
                slot: self.maybe(Self::text),
                max_kdf_memory: self.maybe(|dice| u32::from(dice.roll())),
                allow_rollback: self.maybe(|_| Flag),
            }),
            3 => Request::Lock(Lock { vault: self.maybe(Self::path) }),
            4 => Request::Stop(Stop {}),
            5 => Request::Use(Use { vault }),
            6 => Request::Get(Get { vault, state, name: self.name(), field: self.text() }),
            7 => Request::Meta(Meta { vault, state, name: self.name() }),
            8 => Request::List(List { vault, state }),
            9 => {
                let pairs = |dice: &mut Self| dice.some(|dice| (dice.text(), dice.text()));
                let with = self.maybe(pairs).map(|pairs| Texts(pairs.into_iter().collect()));
                Request::Find(Find { vault, state, with, having: self.maybe(|dice| dice.some(Self::text)) })
            }
            10 => Request::Entries(Entries { vault, state, names: self.maybe(|dice| dice.some(Self::name)) }),
            11 => {
                let changes = self.maybe(|dice| dice.some(Self::change));
                Request::Commit(Commit { vault, author: self.text(), changes })
            }
            12 => Request::Stage(Stage { changes: self.some(Self::change) }),
            13 => Request::Attach(Attach { vault, limit: self.number() }),
            14 => Request::Write(Write { bytes: Bytes(self.secret()) }),
            15 => Request::Read(Read { handle: self.number() }),
            16 => Request::Close(Close { handle: self.maybe(Self::number), state }),
            17 => Request::Check(Check { vault, state }),
            20 => Request::Log(Log { vault, state }),
            18 => Request::Open(Open { vault, other: self.maybe(Self::path) }),
            _ => Request::Compact(Compact { vault, author: self.text(), pages: self.maybe(|_| 256) }),
        }
    }
}

fn body(request: &Request) -> Vec<u8> {
    let frame = request_frame(request).unwrap();
    let (length, body) = frame.expose().split_first_chunk().unwrap();
    assert_eq!(body_length(*length), Ok(body.len()));
    body.to_vec()
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was(dice in vec(any::<u8>(), 0..600)) {
        let request = Dice(&dice).request();
        let sent = body(&request);
        let came = Request::decode(&sent).unwrap();
        prop_assert_eq!(body(&came), sent);
    }

    #[test]
    fn a_request_that_lost_or_gained_a_byte_is_refused(dice in vec(any::<u8>(), 0..600), more in any::<u8>()) {
        let request = Dice(&dice).request();
        let mut sent = body(&request);
        sent.push(more);
        prop_assert!(Request::decode(&sent).is_err());
        sent.truncate(sent.len() - 2);
        prop_assert!(Request::decode(&sent).is_err());
    }

    #[test]
    fn garbage_is_refused_or_means_itself(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(body(&request), bytes);
        }
    }
}

#[test]
fn unknown_requests_are_told_from_malformed_ones() {
    assert_eq!(Request::decode(&[0x82, 0x18, 40, 0xa0]).err(), Some(FrameError::Unknown(40)));
    assert_eq!(Request::decode(&[0x82, 0x05, 0xa0]).err(), Some(FrameError::Malformed), "a member lacks");
    assert_eq!(
        Request::decode(&[0x82, 0x01, 0xa1, 0x05, 0x00]).err(),
        Some(FrameError::Malformed),
        "one more"
    );
    assert_eq!(
        Request::decode(&[0x82, 0x18, 0x01, 0xa0]).err(),
        Some(FrameError::Malformed),
        "a longer integer"
    );
    assert!(Request::decode(&[0x82, 0x01, 0xa0]).is_ok());
}

#[test]
fn a_reply_may_have_members_that_are_not_known() {
    let (kind, bytes) = reply_kind(&[0x82, 0x00, 0xa2, 0x01, 0x03, 0x18, 0x63, 0x01]).unwrap();
    assert_eq!(kind, ReplyKind::Result);
    assert_eq!(content::<Locked>(bytes).unwrap().count, 3);
    let frame = reply(ReplyKind::Part, &Progress { done: 7 }).unwrap();
    let (kind, bytes) = reply_kind(&frame.expose()[4..]).unwrap();
    assert_eq!((kind, content::<Progress>(bytes).unwrap().done), (ReplyKind::Part, 7));
}

#[test]
fn a_difference_comes_back_as_it_was() {
    use super::differ::{Become, Difference, Parts};
    let name = |text: &str| EntryName::parse(text).unwrap();
    let parts = |all: &[(&str, Become)]| {
        Parts::some(all.iter().map(|(name, become_)| ((*name).to_owned(), *become_)).collect())
    };
    let all = || {
        vec![
            Difference {
                name: name("a"),
                change: Become::Changed,
                former: Some(name("b")),
                fields: parts(&[("secret", Become::Changed), ("pin", Become::Added)]),
                attributes: parts(&[("url", Become::Removed)]),
                expires: Some(Become::Added),
                conflict: Some(Become::Removed),
            },
            Difference {
                name: name("c"),
                change: Become::Removed,
                former: None,
                fields: parts(&[]),
                attributes: None,
                expires: None,
                conflict: None,
            },
        ]
    };
    let frame = reply(ReplyKind::Part, &DifferencesPart { differences: all() }).unwrap();
    let (_, bytes) = reply_kind(&frame.expose()[4..]).unwrap();
    assert_eq!(content::<DifferencesPart>(bytes).unwrap().differences, all());
}

#[test]
fn what_was_made_comes_back_as_it_was() {
    let name = |text: &str| EntryName::parse(text).unwrap();
    let parts = [
        MadePart { text: Some(Bytes(Secret::new(b"vault/1 ".to_vec()))), ..MadePart::default() },
        MadePart { conflicts: Some(vec![name("a"), name("b")]), ..MadePart::default() },
        MadePart { changed: Some(vec![name("c")]), ..MadePart::default() },
    ];
    for part in &parts {
        let frame = reply(ReplyKind::Part, part).unwrap();
        let (_, bytes) = reply_kind(&frame.expose()[4..]).unwrap();
        let came: MadePart = content(bytes).unwrap();
        assert_eq!(
            came.text.map(|text| text.0.expose().to_vec()),
            part.text.as_ref().map(|text| text.0.expose().to_vec())
        );
        assert_eq!((came.conflicts, came.changed), (part.conflicts.clone(), part.changed.clone()));
    }
    let facts = Facts { generation: 9, seals: 3, epoch: 0, slot: None, older: Some(10), removal: None };
    let made = Made { state: 7, facts, apart: Some(Flag), left_slots: None };
    let frame = reply(ReplyKind::Result, &made).unwrap();
    let (_, bytes) = reply_kind(&frame.expose()[4..]).unwrap();
    let came: Made = content(bytes).unwrap();
    assert_eq!((came.state, came.facts.generation, came.facts.older), (7, 9, Some(10)));
    assert_eq!((came.apart, came.left_slots), (Some(Flag), None));
}

#[test]
fn frames_have_a_limit() {
    assert_eq!(body_length([0, 0, 0, 0]), Err(FrameError::Length(0)));
    assert_eq!(body_length([0, 0x10, 0, 0]), Ok(FRAME));
    assert_eq!(body_length([0, 0x10, 0, 1]), Err(FrameError::Length(1 + FRAME as u64)));
    let large = Request::Write(Write { bytes: Bytes(Secret::new(vec![0; FRAME])) });
    assert!(matches!(request_frame(&large), Err(FrameError::Length(_))));
}

#[test]
fn a_value_in_a_change_is_short() {
    let of = |length| {
        let value = Some(Incoming::Short(Secret::new(vec![0; length])));
        let set = Set {
            name: EntryName::parse("a").unwrap(),
            fields: BTreeMap::from([("secret".to_owned(), value)]),
            attributes: BTreeMap::new(),
            expires: None,
            expect: None,
        };
        Request::decode(&body(&Request::Stage(Stage { changes: vec![Change::Set(Box::new(set))] })))
    };
    assert!(of(SHORT).is_ok());
    assert_eq!(of(SHORT + 1).err(), Some(FrameError::Malformed));
}

#[test]
fn a_path_is_absolute() {
    for path in ["", "a", "./a"] {
        assert!(VaultPath::new(Path::new(path)).is_none(), "{path}");
    }
    assert!(VaultPath::new(Path::new(&format!("/{}", "a".repeat(PATH)))).is_none());
    assert!(VaultPath::new(Path::new("/a")).is_some());
}

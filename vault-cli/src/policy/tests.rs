use vault_core::format::entry::EntryName;
use vault_core::format::slot::SlotLine;

use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse(Path::new("vault.toml"), format!("version = 1\n{text}").as_bytes()).unwrap()
}

fn refused(text: &str) -> (Option<usize>, Problem) {
    let error = Policy::parse(Path::new("vault.toml"), text.as_bytes()).unwrap_err();
    (error.line, error.problem)
}

fn meta(name: &str, attributes: &[(&str, &str)], modified: u64) -> Meta {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Meta {
        name: EntryName::parse(name).unwrap(),
        attributes: attributes.collect(),
        fields: Default::default(),
        created: 0,
        modified,
        expires: None,
        alternatives: Vec::new(),
    }
}

const NO_SLOTS: &[SlotLine] = &[];

#[test]
fn the_example_of_the_help_is_understood_and_in_the_document() {
    let parsed = Policy::parse(Path::new("vault.toml"), EXAMPLE.as_bytes()).unwrap();
    assert_eq!(parsed.max_age.len(), 2);
    assert_eq!(parsed.slots.kdf_memory_kib, 65_536);
    assert_eq!(parsed.slots.allowed_recipients.unwrap()[1], "ssh-ed25519:AAAA…");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    assert!(std::fs::read_to_string(page).unwrap().contains(EXAMPLE));
    assert!(help().contains("  kdf-passes = 3\n"));
}

#[test]
fn what_is_not_understood_is_an_error_with_its_line() {
    assert!(matches!(refused("x = 1\nversion = 1"), (Some(1), Problem::Unknown(key)) if key == "x"));
    assert!(
        matches!(refused("version = 1\n[slots]\nkinds = []"), (Some(3), Problem::Unknown(key)) if key == "slots.kinds")
    );
    assert!(matches!(refused("version = 1\n[names]\nallow = []"), (Some(3), Problem::Unknown(_))));
    assert!(matches!(refused("version = 1\n[names]\nallowed = \"x\""), (Some(3), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\n[names]\nallowed = [1]"), (Some(3), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\nvault-id = \"ABC\""), (Some(2), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\n[slots]\nkdf-memory = 3"), (Some(3), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\n[slots]\nkdf-passes = -3"), (Some(3), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\n[max-age]\nx = \"soon\""), (Some(3), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\nslots = 3"), (Some(2), Problem::Wrong { .. })));
    assert!(matches!(refused("version = 1\n["), (Some(2), Problem::Syntax)));
    assert!(matches!(refused("version = 2"), (None, Problem::Version)));
    assert!(matches!(refused(""), (None, Problem::Version)));
    let error = Policy::parse(Path::new("x"), b"\xff").unwrap_err();
    assert!(matches!(error.problem, Problem::NoText));
}

#[test]
fn names_are_allowed_and_forbidden_by_patterns() {
    let rules = policy("[names]\nallowed = [\"prod/*\", \"one\"]\nforbidden = [\"*/tmp/*\"]");
    for (name, fits) in [
        ("prod/x", true),
        ("one", true),
        ("ones", false),
        ("dev/x", false),
        ("prod/tmp/x", false),
        ("prod/tmp", true),
    ] {
        assert_eq!(rules.of_name(name).is_none(), fits, "{name}");
    }
    assert!(policy("").of_name("anything").is_none());
    assert!(policy("[names]\nallowed = []").of_name("anything").is_some());
}

#[test]
fn age_is_counted_from_the_last_change() {
    let rules = policy("[max-age]\n\"rotate=monthly\" = \"31d\"\nteam = \"1w\"");
    let day = 24 * 60 * 60;
    let old =
        |attributes: &[(&str, &str)], age: u64| rules.of_entry(&meta("x", attributes, 100), 100 + age).len();
    assert_eq!(old(&[("rotate", "monthly")], 31 * day), 0);
    assert_eq!(old(&[("rotate", "monthly")], 31 * day + 1), 1);
    assert_eq!(old(&[("rotate", "never")], 99 * day), 0);
    assert_eq!(old(&[("team", "any"), ("rotate", "monthly")], 99 * day), 2);
    assert_eq!(old(&[], 99 * day), 0);
}

#[test]
fn another_vault_is_seen_by_its_id() {
    let id = |uuid: u8, key: u8| VaultId { uuid: [uuid; 16], commitment: [key; 32] };
    let broken = |rules: &Policy, id: VaultId| rules.of_vault(id, NO_SLOTS);
    let uuid = "07".repeat(16);
    let rules = policy(&format!("vault-id = \"{uuid}\""));
    // Without the commitment, under whatever master key.
    assert!(broken(&rules, id(7, 1)).is_empty() && broken(&rules, id(7, 2)).is_empty());
    assert_eq!(broken(&rules, id(8, 1)), [format!("the vault's id is {}, not {uuid}", "08".repeat(16))]);
    let rules = policy(&format!("vault-id = \"{}\"", id(7, 1)));
    assert!(broken(&rules, id(7, 1)).is_empty());
    for other in [id(7, 2), id(8, 1)] {
        assert_eq!(broken(&rules, other), [format!("the vault's id is {other}, not {}", id(7, 1))]);
    }
    for wrong in [&uuid[1..], &format!("{uuid}:"), &format!("{uuid}:{uuid}"), &uuid.replace('7', "A"), ""] {
        let text = format!("version = 1\nvault-id = \"{wrong}\"");
        assert!(Policy::parse(Path::new("vault.toml"), text.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_required_and_missing_is_named() {
    let rules = policy("[slots]\nrequired-kinds = [\"recovery\"]\nrequired-recipients = [\"age1abc\"]");
    let broken = rules.of_vault(VaultId { uuid: [0; 16], commitment: [0; 32] }, NO_SLOTS);
    assert_eq!(broken, ["there is no slot of the kind \"recovery\"", "there is no slot for \"age1abc\""]);
}

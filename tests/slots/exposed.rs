//! Leaving: what is named as exposed is exactly what a removed holder could read and nobody has changed since.

use std::collections::{BTreeMap, BTreeSet};

use vault_tests::fixture::Seeded;

use crate::crash::program::Home;

/// Entries with the epoch in which each of their fields was last set.
#[derive(Default)]
struct Model {
    fields: BTreeMap<(String, String), u64>,
    epoch: u64,
    /// The epoch of the last removal.
    removal: Option<u64>,
}

impl Model {
    fn exposed(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ((entry, field), epoch) in &self.fields {
            if self.removal.is_some_and(|removal| *epoch <= removal) {
                all.entry(entry.clone()).or_default().insert(field.clone());
            }
        }
        all
    }
}

fn told(home: &Home) -> BTreeMap<String, BTreeSet<String>> {
    let listed = home.vault(["list", "--exposed", "--json"]).ok().json();
    let strings = |json: &serde_json::Value| {
        json.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let entries = listed["entries"].as_array().unwrap();
    let of = |entry: &serde_json::Value| {
        let name = entry["name"].as_str().unwrap().to_owned();
        (name, strings(&entry["exposed"]).into_iter().collect())
    };
    let all: BTreeMap<String, BTreeSet<String>> = entries.iter().map(of).collect();
    let names: Vec<_> = home.vault(["list", "--exposed"]).ok().text().lines().map(str::to_owned).collect();
    assert!(names.iter().eq(all.keys()), "{names:?}");
    all
}

#[test]
fn what_is_exposed_is_that_of_a_model_and_empties_as_it_is_changed() {
    let home = Home::with_vault();
    let mut model = Model::default();
    let mut random = Seeded::new(7);
    let mut holders = 0;
    for step in 0..60 {
        match random.below(10) {
            0 => {
                holders += 1;
                let label = format!("holder-{holders}");
                let out = home.beside(&label);
                home.vault(["slot", "add", "--machine", "--label", &label, "--out"]).arg(&out).ok();
                let removed = home.vault(["slot", "remove", &label, "--yes"]).ok();
                assert!(removed.stderr.contains("vault rotate"), "{removed:?}");
                model.removal = Some(model.epoch);
            }
            1 => {
                // The machine key names the master key: a new one is given out with the rotation.
                rotate(&home, step);
                model.epoch += 1;
            }
            _ => {
                let entry = format!("entry/{}", random.below(8));
                let field = ["secret", "user", "url"][random.below(3)].to_owned();
                home.vault(["set", &entry, "--field", &field]).stdin(format!("value {step}")).ok();
                model.fields.insert((entry, field), model.epoch);
            }
        }
        if step % 5 == 4 {
            assert_eq!(told(&home), model.exposed(), "step {step}");
        }
    }
    assert_eq!(told(&home), model.exposed());

    // Everything is changed after one more removal and rotation: then nothing is exposed.
    home.vault(["slot", "add", "--machine", "--label", "last", "--out"]).arg(home.beside("last")).ok();
    home.vault(["slot", "remove", "last", "--yes"]).ok();
    rotate(&home, 1000);
    (model.removal, model.epoch) = (Some(model.epoch), model.epoch + 1);
    assert_eq!(told(&home), model.exposed());
    let status = home.vault(["status"]).ok();
    assert!(status.text().contains("exposed: entry/"), "{status:?}");
    let fields: Vec<_> = model.fields.keys().cloned().collect();
    for (entry, field) in fields {
        home.vault(["set", &entry, "--field", &field]).stdin("anew").ok();
        model.fields.insert((entry, field), model.epoch);
        assert_eq!(told(&home), model.exposed());
    }
    assert!(told(&home).is_empty());
    assert!(!home.vault(["status"]).ok().text().contains("exposed:"));
    home.check();
}

#[test]
fn whoever_is_back_has_nothing_exposed_to_them() {
    let home = Home::with_vault();
    home.set("a", "1");
    let id = home.beside("id");
    home.program("age-keygen", ["-o", id.to_str().unwrap()]).ok();
    let text = std::fs::read_to_string(&id).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    home.vault(["slot", "add", "--yes", "--age", recipient, "--label", "eve"]).ok();
    home.vault(["slot", "remove", "eve", "--yes"]).ok();
    assert_eq!(home.vault(["list", "--exposed"]).ok().text(), "a\n");
    home.vault(["slot", "add", "--yes", "--age", recipient, "--label", "eve-again"]).ok();
    assert_eq!(home.vault(["list", "--exposed"]).ok().text(), "");
}

/// A rotation that leaves the machine key of the runs in place, renewed.
fn rotate(home: &Home, step: usize) {
    let out = home.beside(&format!("keys-{step}"));
    home.vault(["rotate", "--yes", "--machine-keys-out"]).arg(&out).ok();
    std::fs::copy(out.join("machine.key"), home.key()).unwrap();
}

//! What is in a vault, as JSON, with values as SHA-256: the same as tests/reference/vault_reader.py prints.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;

use serde_json::{Map, Value as Json, json};
use vault_core::crypto::hash::sha256;
use vault_core::error::VerifyError;
use vault_core::format::entry::{FieldInfo, FieldKind};
use vault_core::format::seal::{Changes, EntryOp, SlotOp};
use vault_core::vault::{Entry, LogRecord, UnlockedVault, Value};

/// Verifies everything, and says what was found.
///
/// # Errors
/// The first thing that does not verify.
pub fn describe(vault: &UnlockedVault) -> Result<Json, VerifyError> {
    vault.verify(&|_| ())?;
    let entries = Mutex::new(Map::new());
    let failed = Mutex::new(None);
    vault.each_entry(&|entry| match describe_entry(&entry) {
        Ok(described) => {
            let name = entry.meta().name.as_str().to_owned();
            entries.lock().expect("no visitor panics").insert(name, described);
        }
        Err(error) => *failed.lock().expect("no visitor panics") = Some(error),
    })?;
    if let Some(error) = failed.into_inner().expect("no visitor panics") {
        return Err(VerifyError::from(error));
    }
    let slots: Vec<Json> = vault
        .slots()
        .iter()
        .map(|slot| {
            json!({
                "id": slot.id.to_string(),
                "kind": slot.kind.name(),
                "label": slot.label.as_str(),
                "recipient": slot.recipient.as_str(),
            })
        })
        .collect();
    Ok(json!({
        "uuid": hex(&vault.header().uuid),
        "pages": vault.header().pages.count(),
        "generation": vault.generation(),
        "tips": ids(vault.tips()),
        "seals": vault.seals(),
        "epoch": vault.roster().epoch,
        "slots": slots,
        "entries": entries.into_inner().expect("no visitor panics"),
        "log": vault.log()?.iter().map(describe_record).collect::<Vec<_>>(),
    }))
}

fn describe_entry(entry: &Entry) -> std::io::Result<Json> {
    let meta = entry.meta();
    let mut out = json!({
        "attributes": meta.attributes.clone().into_iter().collect::<BTreeMap<_, _>>(),
        "created": meta.created,
        "modified": meta.modified,
    });
    if let Some(expires) = meta.expires {
        out["expires"] = expires.into();
    }
    let mut fields = Map::new();
    for (field, info) in &meta.fields {
        fields.insert(field.clone(), describe_value(*info, entry.value(field))?);
    }
    out["fields"] = fields.into();
    let mut alternatives = Vec::new();
    for (number, alternative) in meta.alternatives.iter().enumerate() {
        let mut one = json!({ "seal": alternative.seal.to_string() });
        if let Some(name) = &alternative.name {
            one["name"] = name.as_str().into();
        }
        if !alternative.attributes.is_empty() {
            one["attributes"] = json!(alternative.attributes);
        }
        if alternative.removed {
            one["removed"] = true.into();
        }
        if let Some(expires) = alternative.expires {
            one["expires"] = json!(expires);
        }
        let mut fields = Map::new();
        for (field, info) in &alternative.fields {
            let described = match info {
                Some(info) => describe_value(*info, entry.alternative(number, field))?,
                None => Json::Null,
            };
            fields.insert(field.clone(), described);
        }
        if !fields.is_empty() {
            one["fields"] = fields.into();
        }
        alternatives.push(one);
    }
    out["alternatives"] = alternatives.into();
    Ok(out)
}

fn describe_value(info: FieldInfo, value: Option<Value>) -> std::io::Result<Json> {
    let kind = match info.kind {
        FieldKind::Inline => "inline",
        FieldKind::Attachment => "attachment",
    };
    let bytes = match value.expect("a field of the metadata has a value") {
        Value::Inline(secret) => secret.expose().to_vec(),
        Value::Attachment(mut reader) => {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            bytes
        }
    };
    Ok(json!({ "kind": kind, "epoch": info.epoch, "sha256": hex(&sha256(&bytes)), "length": bytes.len() }))
}

fn describe_record(record: &LogRecord) -> Json {
    let Changes { time, author, reason, entries, slots, replaces, .. } = &record.changes;
    let entries: Vec<Json> = entries
        .iter()
        .map(|change| {
            let op = match change.op {
                EntryOp::Set => "set",
                EntryOp::Remove => "remove",
                EntryOp::Rename => "rename",
                EntryOp::Resolve => "resolve",
                EntryOp::Create => "create",
            };
            let mut one = json!({ "op": op, "name": change.name.as_str() });
            if !change.attributes.is_empty() {
                one["attributes"] = json!(change.attributes);
            }
            if !change.fields.is_empty() {
                one["fields"] = json!(change.fields);
            }
            if let Some(to) = &change.new_name {
                one["to"] = to.as_str().into();
            }
            if change.expiry {
                one["expires"] = true.into();
            }
            one
        })
        .collect();
    let slots: Vec<Json> = slots
        .iter()
        .map(|change| {
            let op = match change.op {
                SlotOp::Add => "add",
                SlotOp::Remove => "remove",
                SlotOp::Rewrap => "rewrap",
                SlotOp::Relabel => "relabel",
            };
            json!({ "op": op, "id": change.slot.to_string() })
        })
        .collect();
    let mut line = json!({
        "id": record.seal.to_string(),
        "generation": record.generation,
        "parents": ids(&record.parents),
        "restart": record.restart,
        "carried": record.carried,
        "time": time,
        "author": author,
        "entries": entries,
        "slots": slots,
        "replaces": ids(replaces),
    });
    if let Some(reason) = reason {
        line["reason"] = reason.as_str().into();
    }
    line
}

fn ids<'a, T: std::fmt::Display + 'a>(ids: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    ids.into_iter().map(ToString::to_string).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

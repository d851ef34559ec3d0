//! Merging across a restart: what the other side did since is applied to the restarted side as one new seal.

use std::collections::BTreeSet;

use crate::format::id::{EntryId, SealId};
use crate::format::limits;
use crate::vault::entry::SealedEntry;
use crate::vault::merge::{
    MergeContext, MergeError, NewMerge, Placed, Side, ids, new_seal_id, plan, seal_entry, slots,
};
use crate::vault::restart::newest;

pub(super) fn merge(ours: &Side, theirs: &Side, context: &mut MergeContext) -> Result<NewMerge, MergeError> {
    let knows_root = |side: &Side, other: &Side| side.known.contains(&other.vault.log.root());
    let ours_restarted = match (knows_root(ours, theirs), knows_root(theirs, ours)) {
        (true, false) => true,
        (false, true) => false,
        _ => return Err(MergeError::BothRestarted),
    };
    let (restarted, other) = if ours_restarted { (ours, theirs) } else { (theirs, ours) };
    let (our_news, their_news) = (ours.news(theirs)?, theirs.news(ours)?);
    let other_news = if ours_restarted { &their_news } else { &our_news };
    let id = new_seal_id(context);
    let plan = plan(ours, theirs, &our_news, &their_news, id)?;

    let into = restarted.vault;
    let same_keys = into.front.header.commitment == other.vault.front.header.commitment;
    let mut edit = into.edit(context.now).map_err(MergeError::Edit)?;
    // What the other side or both touched leaves, and comes back as it is in the end.
    let other_names = other_news.lineages().names;
    let mut touched: BTreeSet<EntryId> = ids(into, other_names.iter().chain(&plan.both));
    touched.extend(ids(into, plan.results.keys().filter(|name| other_names.contains(name))));
    for id in &touched {
        edit.take_out(*id).map_err(MergeError::Edit)?;
    }
    for (name, placed) in plan.results {
        let id = into.sealers.entry_id(&name);
        let (from_other, entry): (bool, Option<SealedEntry>) = match placed {
            Placed::Ours(entry) => (!ours_restarted, Some(entry)),
            Placed::Theirs(entry) => (ours_restarted, Some(entry)),
            Placed::New(entry) => {
                let sealed = seal_entry(into, *entry, context.random)?;
                edit.put_in(sealed).map_err(MergeError::Edit)?;
                continue;
            }
        };
        let Some(entry) = entry else { continue };
        if !from_other {
            // It is there already, unless it was taken out above.
            if touched.contains(&id) {
                edit.put_in(entry).map_err(MergeError::Edit)?;
            }
        } else if same_keys {
            edit.put_in(entry).map_err(MergeError::Edit)?;
        } else {
            let open = entry.open(&other.vault.sealers).map_err(MergeError::Theirs)?;
            edit.put_in(seal_entry(into, open, context.random)?).map_err(MergeError::Edit)?;
        }
    }
    if other_news.changes.iter().any(|(_, _, changes)| !changes.slots.is_empty()) {
        let (slots, roster) = slots::unite((ours, &our_news), (theirs, &their_news), into)?;
        edit.put_table(slots, roster);
    }
    let replaces: BTreeSet<SealId> = other.known.difference(&restarted.known).copied().collect();
    if replaces.len() > limits::REPLACES {
        return Err(MergeError::HistoryCut);
    }
    let records = newest(other_news.records());
    let saved = edit
        .graft(id, plan.listed, replaces, records, context.author, context.random)
        .map_err(MergeError::Edit)?;
    Ok(NewMerge { text: saved.text, seal: Some(id), conflicts: plan.conflicts })
}

use std::fmt::Write;

use bpf::{CountLine, Inspection, LimitLine, LinkLine, MapLine, Place, QuotaId, Refusals};
use serde_json::{Value, json};

use super::Names;

/// What is pinned of one layout, a line each.
pub(super) fn text(layout: &Inspection, names: &Names) -> String {
    let Inspection { version, is_ours, links, maps, limits, counts, refused } = layout;
    let ours =
        if *is_ours { "this gateway's" } else { "another gateway's, until its connections have ended" };
    let mut text = format!("layout {version} ({ours})\n");
    for LinkLine { name: _, id, program, program_name, tier, place } in links {
        let name = program_name.as_deref().map_or_else(String::new, |name| format!(" {name}"));
        let at_work =
            if *program == 0 { "nothing any more".to_owned() } else { format!("program {program}{name}") };
        let _ = writeln!(text, "  {tier} {}: link {id}, {at_work}", of(place));
    }
    for MapLine { name, id, kind, rows, room } in maps {
        let rows = rows.map_or_else(|| "of sockets".to_owned(), |rows| format!("{rows} of {room} rows"));
        let _ = writeln!(text, "  map {name}: {rows}, {kind} {id}");
    }
    for LimitLine { netns: _, address, quota, most } in limits {
        let most = most.map_or_else(|| "any number of".to_owned(), |most| format!("at most {most}"));
        let _ = writeln!(text, "  {address}: {most} connections of {}", names.of(*quota));
    }
    for CountLine { netns: _, quota, open } in counts {
        let _ = writeln!(text, "  {}: {open} open", names.of(*quota));
    }
    for Refusals { quota, tier, reason, total } in refused {
        let _ = writeln!(text, "  {}: {total} refused by {tier} ({reason})", names.of(*quota));
    }
    text
}

/// The same for machines.
pub(super) fn json(layout: &Inspection, names: &Names) -> Value {
    let Inspection { version, is_ours, links, maps, limits, counts, refused } = layout;
    let named = |quota: QuotaId| json!({ "id": quota.to_string(), "name": names.0.get(&quota) });
    let link = |LinkLine { name, id, program, program_name, tier, place }: &LinkLine| {
        let (interface, elsewhere) = match place {
            Place::Cgroups => (None, Value::Null),
            Place::Interface(name) => (Some(name), Value::Null),
            Place::Elsewhere { netns, index } => {
                (None, json!({ "netns": netns.to_string(), "index": index }))
            }
        };
        json!({
            "pin": name, "id": id, "program": program, "programName": program_name, "tier": tier,
            "interface": interface, "elsewhere": elsewhere,
        })
    };
    let map = |MapLine { name, id, kind, rows, room }: &MapLine| json!({ "pin": name, "id": id, "kind": kind, "rows": rows, "room": room });
    let limit = |LimitLine { netns, address, quota, most }: &LimitLine| json!({ "netns": netns.to_string(), "address": address, "quota": named(*quota), "most": most });
    let count = |CountLine { netns, quota, open }: &CountLine| json!({ "netns": netns.to_string(), "quota": named(*quota), "open": open });
    let refusal = |Refusals { quota, tier, reason, total }: &Refusals| json!({ "quota": named(*quota), "tier": tier, "reason": reason, "total": total });
    json!({
        "version": version,
        "ours": is_ours,
        "links": links.iter().map(link).collect::<Vec<_>>(),
        "maps": maps.iter().map(map).collect::<Vec<_>>(),
        "limits": limits.iter().map(limit).collect::<Vec<_>>(),
        "counts": counts.iter().map(count).collect::<Vec<_>>(),
        "refused": refused.iter().map(refusal).collect::<Vec<_>>(),
    })
}

fn of(place: &Place) -> String {
    match place {
        Place::Cgroups => "of every cgroup".to_owned(),
        Place::Interface(name) => format!("on {name}"),
        Place::Elsewhere { netns, index } => {
            format!("on interface {index} of network namespace {netns}, or one that has gone")
        }
    }
}

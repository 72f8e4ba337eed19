use serde_json::Value as Json;

use super::{
    super::{
        matches::ValueTest,
        remarks::Remarks,
        spot::Spot,
        whole::{Search, literal, whole},
    },
    location::Location,
    settings::Annotations,
};

/// The share of a canary where no weights are given their sum.
const TOTAL: u32 = 100;

/// Lays a canary's paths beside those of the main Ingress: nginx asks the header first, then the cookie, then the weight.
pub(super) fn lay_beside<'a>(
    main: &mut Vec<Location<'a>>,
    canary: &[Location<'a>],
    annotations: &Annotations<'a, 'a>,
    remarks: &mut Remarks,
) {
    for location in canary {
        let same = |other: &Location<'_>| {
            let place = (&other.host, &other.path, other.kind);
            place == (&location.host, &location.path, location.kind) && other.rule.matched.headers.is_empty()
        };
        let Some(place) = main.iter().position(same) else {
            remarks.lost(
                &location.rule.spot,
                "there is no Ingress with this host and path that it is the canary of",
            );
            continue;
        };
        let mut new = Vec::new();
        for (condition, to_canary) in conditions(annotations, remarks) {
            let mut asked = main[place].clone();
            asked.rule.spot = location.rule.spot.clone();
            asked.rule.matched.headers.push(condition);
            if to_canary {
                asked.rule.then.backends.clone_from(&location.rule.then.backends);
                asked.backend.clone_from(&location.backend);
            }
            new.push(asked);
        }
        weigh(&mut main[place], location, annotations, remarks);
        // Each has a header more than the main one, and so comes first anyhow; among them this is the order.
        main.splice(place..place, new);
    }
}

fn conditions(annotations: &Annotations<'_, '_>, remarks: &mut Remarks) -> Vec<(ValueTest, bool)> {
    let mut conditions = Vec::new();
    if let Some(header) = annotations.text("canary-by-header") {
        if let Some(value) = annotations.text("canary-by-header-value") {
            conditions.push((ValueTest::exact(header, value), true));
        } else if let (Some(pattern), Some(spot)) =
            (annotations.text("canary-by-header-pattern"), annotations.spot("canary-by-header-pattern"))
        {
            match whole(pattern, Search::Anywhere, false) {
                Ok(pattern) => conditions.push((ValueTest::pattern(header, pattern), true)),
                Err(why) => remarks.lost(spot, format!("the expression has no counterpart: {why}")),
            }
        } else {
            conditions.push((ValueTest::exact(header, "always"), true));
            conditions.push((ValueTest::exact(header, "never"), false));
        }
    }
    if let Some(cookie) = annotations.text("canary-by-cookie") {
        let is = |value: &str| {
            ValueTest::pattern("Cookie", format!("(?:.*; *)?{}={value}(?:;.*)?", literal(cookie)))
        };
        conditions.push((is("always"), true));
        conditions.push((is("never"), false));
    }
    conditions
}

fn weigh(
    main: &mut Location<'_>,
    canary: &Location<'_>,
    annotations: &Annotations<'_, '_>,
    remarks: &mut Remarks,
) {
    let number = |name: &str| annotations.text(name).and_then(|text| text.parse::<u32>().ok());
    let (weight, total) =
        (number("canary-weight").unwrap_or(0), number("canary-weight-total").unwrap_or(TOTAL));
    if weight == 0 {
        return;
    }
    if main.rule.then.backends.len() != 1 {
        let spot: &Spot<'_> = annotations.spot("canary-weight").unwrap_or(&canary.rule.spot);
        remarks.lost(spot, "the main Ingress has a canary with a weight already; left out");
        return;
    }
    let share = |backends: &[Json], weight: u32| {
        backends.first().cloned().map(|mut backend| {
            backend["weight"] = weight.into();
            backend
        })
    };
    let main_share = share(&main.rule.then.backends, total.saturating_sub(weight));
    let canary_share = share(&canary.rule.then.backends, weight.min(total));
    main.rule.then.backends = main_share.into_iter().chain(canary_share).collect();
}

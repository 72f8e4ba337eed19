use super::{
    super::matches::METHODS,
    expression::{Call, Expression},
};

/// A matcher with one value of each, or its opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) call: Call,
    pub(super) negated: bool,
}

/// Most alternatives of one rule: as many as an HTTPRoute may have matches.
const MOST: usize = 128;

/// Matchers of which each argument is an alternative.
const ALTERNATIVES: [&str; 6] = ["host", "hostheader", "hostregexp", "method", "path", "pathprefix"];

/// The alternatives of a rule, each a list of matchers that must all hold: HTTPRoute knows no other form. The error says
/// that they are too many.
pub(super) fn alternatives(expression: &Expression) -> Result<Vec<Vec<Literal>>, String> {
    let mut found = spread(expression, false)?;
    for alternative in &mut found {
        let mut seen: Vec<Literal> = Vec::new();
        alternative.retain(|literal| {
            let new = !seen.contains(literal);
            seen.push(literal.clone());
            new
        });
    }
    Ok(found)
}

fn spread(expression: &Expression, negated: bool) -> Result<Vec<Vec<Literal>>, String> {
    match expression {
        Expression::Not(inner) => spread(inner, !negated),
        // De Morgan.
        Expression::And(parts) if negated => any(parts.iter().map(|part| spread(part, true))),
        Expression::Or(parts) if negated => all(parts.iter().map(|part| spread(part, true))),
        Expression::And(parts) => all(parts.iter().map(|part| spread(part, false))),
        Expression::Or(parts) => any(parts.iter().map(|part| spread(part, false))),
        Expression::Call(call) => Ok(of_call(call, negated)),
    }
}

fn of_call(call: &Call, negated: bool) -> Vec<Vec<Literal>> {
    let name = call.name.to_ascii_lowercase();
    let one = |argument: &str| Literal {
        call: Call { name: call.name.clone(), arguments: vec![argument.to_owned()] },
        negated,
    };
    if name == "method" && negated {
        let given =
            |method: &str| call.arguments.iter().any(|argument| argument.eq_ignore_ascii_case(method));
        let others = METHODS.iter().filter(|method| !given(method));
        return others.map(|method| vec![Literal { negated: false, ..one(method) }]).collect();
    }
    if !ALTERNATIVES.contains(&&*name) || call.arguments.len() < 2 {
        return vec![vec![Literal { call: call.clone(), negated }]];
    }
    let literals = call.arguments.iter().map(|argument| one(argument));
    if negated { vec![literals.collect()] } else { literals.map(|literal| vec![literal]).collect() }
}

fn any(parts: impl Iterator<Item = Result<Vec<Vec<Literal>>, String>>) -> Result<Vec<Vec<Literal>>, String> {
    let mut alternatives = Vec::new();
    for part in parts {
        alternatives.extend(part?);
        few(alternatives.len())?;
    }
    Ok(alternatives)
}

fn all(parts: impl Iterator<Item = Result<Vec<Vec<Literal>>, String>>) -> Result<Vec<Vec<Literal>>, String> {
    let mut alternatives = vec![Vec::new()];
    for part in parts {
        let part = part?;
        few(alternatives.len() * part.len())?;
        let joined = alternatives.iter().flat_map(|before| {
            part.iter().map(move |after: &Vec<Literal>| before.iter().chain(after).cloned().collect())
        });
        alternatives = joined.collect();
    }
    Ok(alternatives)
}

fn few(alternatives: usize) -> Result<(), String> {
    if alternatives <= MOST {
        return Ok(());
    }
    Err(format!("more than {MOST} alternatives once `||` stands outside, which no HTTPRoute may have"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::expression::parse, *};

    fn holds(expression: &Expression, facts: &[bool]) -> bool {
        match expression {
            Expression::And(parts) => parts.iter().all(|part| holds(part, facts)),
            Expression::Or(parts) => parts.iter().any(|part| holds(part, facts)),
            Expression::Not(inner) => !holds(inner, facts),
            Expression::Call(call) => fact(call, facts),
        }
    }

    fn fact(call: &Call, facts: &[bool]) -> bool {
        facts[call.arguments[0].parse::<usize>().unwrap()]
    }

    fn rule() -> impl Strategy<Value = Expression> {
        let call =
            |n: usize| Expression::Call(Call { name: "Header".to_owned(), arguments: vec![n.to_string()] });
        (0..4_usize).prop_map(call).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(Expression::And),
                prop::collection::vec(inner.clone(), 1..3).prop_map(Expression::Or),
                inner.prop_map(|inner| Expression::Not(Box::new(inner))),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_alternatives_say_what_the_rule_said(rule in rule(), facts: [bool; 4]) {
            let Ok(alternatives) = alternatives(&rule) else { return Ok(()) };
            let literal = |literal: &Literal| fact(&literal.call, &facts) != literal.negated;
            let found = alternatives.iter().any(|all| all.iter().all(literal));
            prop_assert_eq!(found, holds(&rule, &facts));
        }
    }

    #[test]
    fn several_values_are_alternatives_and_other_methods_are_named() {
        let count = |rule: &str| alternatives(&parse(rule).unwrap()).map(|all| all.len());
        assert_eq!(count("Host(`a`, `b`) && Path(`/c`, `/d`)"), Ok(4));
        assert_eq!(count("!Method(`GET`, `HEAD`)"), Ok(7));
        assert_eq!(count("!Host(`a`, `b`)"), Ok(1));
        let many = (0..8).map(|n| format!("(Header(`{n}`, `a`) || Header(`{n}`, `b`))")).collect::<Vec<_>>();
        count(&many.join(" && ")).expect_err("two to the eighth");
    }
}

//! The rule language: calls, `&&`, `||`, `!` and parentheses; `&&` binds closer than `||`, `!` closest.

/// A rule, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Call(Call),
}

/// A matcher and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

/// Parentheses and negations in one another.
const DEEPEST: usize = 32;

/// Reads a rule. The error says what is wrong, and at which character.
pub(super) fn parse(rule: &str) -> Result<Expression, String> {
    let mut reader = Reader { rule, at: 0 };
    let expression = reader.or(0)?;
    reader.space();
    if reader.rest().is_empty() { Ok(expression) } else { Err(reader.expected("`&&`, `||` or the end")) }
}

struct Reader<'r> {
    rule: &'r str,
    at: usize,
}

impl<'r> Reader<'r> {
    fn rest(&self) -> &'r str {
        &self.rule[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expected(&self, what: &str) -> String {
        let place = self.rule[..self.at].chars().count() + 1;
        match self.rest().chars().next() {
            Some(found) => format!("character {place}: found `{found}`, expected {what}"),
            None => format!("ends where {what} was expected"),
        }
    }

    fn or(&mut self, depth: usize) -> Result<Expression, String> {
        let mut all = vec![self.and(depth)?];
        while self.take("||") {
            all.push(self.and(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn and(&mut self, depth: usize) -> Result<Expression, String> {
        let mut all = vec![self.one(depth)?];
        while self.take("&&") {
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} parentheses in one another"));
        }
        if self.take("!") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err(self.expected("`)`")) };
        }
        self.call().map(Expression::Call)
    }

    fn call(&mut self) -> Result<Call, String> {
        self.space();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("a matcher"));
        }
        let name = rest[..end].to_owned();
        self.at += end;
        if !self.take("(") {
            return Err(self.expected("`(`"));
        }
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(self.text()?);
                if self.take(")") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.expected("`,` or `)`"));
                }
            }
        }
        Ok(Call { name, arguments })
    }

    /// A text as Go writes it: raw between backticks, or with escapes between quotes.
    fn text(&mut self) -> Result<String, String> {
        if self.take("`") {
            let rest = self.rest();
            let end = rest.find('`').ok_or("a backtick is not closed")?;
            self.at += end + 1;
            return Ok(rest[..end].to_owned());
        }
        if !self.take("\"") {
            return Err(self.expected("a text in backticks or quotes"));
        }
        let mut text = String::new();
        loop {
            let next = self.rest().chars().next().ok_or("a quote is not closed")?;
            self.at += next.len_utf8();
            match next {
                '"' => return Ok(text),
                '\\' => {
                    let escaped = self.rest().chars().next().ok_or("a quote is not closed")?;
                    let character = match escaped {
                        '\\' | '"' | '\'' => escaped,
                        't' => '\t',
                        'n' => '\n',
                        _ => return Err(self.expected("one of the escapes `\\\\`, `\\\"`, `\\n`, `\\t`")),
                    };
                    self.at += escaped.len_utf8();
                    text.push(character);
                }
                next => text.push(next),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(expression: &Expression) -> String {
        let all = |all: &[Expression]| all.iter().map(shown).collect::<Vec<_>>().join(" ");
        match expression {
            Expression::And(parts) => format!("(and {})", all(parts)),
            Expression::Or(parts) => format!("(or {})", all(parts)),
            Expression::Not(inner) => format!("(not {})", shown(inner)),
            Expression::Call(Call { name, arguments }) => format!("{name}{arguments:?}"),
        }
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        for (rule, expected) in [
            ("Host(`a`)", r#"Host["a"]"#),
            ("A(`1`) || B(`2`) && !C(`3`)", r#"(or A["1"] (and B["2"] (not C["3"])))"#),
            ("(A(`1`)||B(`2`))&&C(`3`, `4`)", r#"(and (or A["1"] B["2"]) C["3", "4"])"#),
            ("!(A(`x`) && B(\"q\\\"\\\\.\"))", r#"(not (and A["x"] B["q\"\\."]))"#),
            (" A ( `(` ) ", r#"A["("]"#),
        ] {
            assert_eq!(parse(rule).map(|found| shown(&found)).as_deref(), Ok(expected), "{rule}");
        }
    }

    #[test]
    fn says_where_a_rule_ends_to_be_one() {
        for (rule, expected) in [
            ("", "ends where a matcher was expected"),
            ("Host(`a`", "ends where `,` or `)` was expected"),
            ("Host(a)", "character 6: found `a`, expected a text in backticks or quotes"),
            ("Host(`a`) & Path(`b`)", "character 11: found `&`, expected `&&`, `||` or the end"),
            ("(Host(`a`)", "ends where `)` was expected"),
            ("Host(`a", "a backtick is not closed"),
        ] {
            assert_eq!(parse(rule), Err(expected.to_owned()), "{rule}");
        }
        parse(&format!("{}A(`1`)", "!".repeat(100))).expect_err("too deep");
    }
}

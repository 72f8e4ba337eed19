/// Something that another controller is asked for, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counterpart {
    /// Its name; a star stands for any end.
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    /// What it becomes, or why nothing.
    pub(super) text: &'static str,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Becomes something.
    Converted,
    /// Nothing has to be asked for.
    Needless,
    /// Is left out, and the route is served without it.
    Lost,
    /// Decides who is let in or what a backend sees: the route answers 500 without it.
    Closes,
}

pub(super) const fn converted(name: &'static str, text: &'static str) -> Counterpart {
    Counterpart { name, fate: Fate::Converted, text }
}

pub(super) const fn needless(name: &'static str, text: &'static str) -> Counterpart {
    Counterpart { name, fate: Fate::Needless, text }
}

pub(super) const fn lost(name: &'static str, text: &'static str) -> Counterpart {
    Counterpart { name, fate: Fate::Lost, text }
}

pub(super) const fn closes(name: &'static str, text: &'static str) -> Counterpart {
    Counterpart { name, fate: Fate::Closes, text }
}

/// The row for a name.
pub(super) fn find(table: &'static [Counterpart], name: &str) -> Option<&'static Counterpart> {
    let fits = |row: &&Counterpart| match row.name.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => row.name == name,
    };
    // `auth-tls-*` before `auth-*`.
    table.iter().filter(fits).max_by_key(|row| row.name.len())
}

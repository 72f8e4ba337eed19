use std::{fs::File, path::Path};

use aya::programs::{CgroupAttachMode, SockOps, links::FdLink};

use crate::{
    Error, cgroup,
    error::Cause,
    pins::{self, Pins},
};

/// The pin of the link.
pub(crate) const PIN: &str = "counting";

/// A pin that is about to take the other's place.
const NEXT: &str = "counting_next";

/// Has every connection of the machine counted that comes to a known listening socket. The new program is attached
/// before an earlier process's is let go, and the mark with each socket keeps the two from counting it twice.
pub(crate) fn attach(program: &mut SockOps, pins: &Pins) -> Result<(), Error> {
    let path = cgroup::root()?;
    let failed = |source| Error::Counting { path: path.clone(), source };
    let link = link(program, &path).map_err(failed)?;
    pins.remove(NEXT)?;
    link.pin(pins.path(NEXT)).map_err(|error| failed(error.into()))?;
    pins.rename(NEXT, PIN)
}

/// True: the link is there.
pub(crate) fn is_pinned(pins: &Pins) -> bool {
    pins::exists(&pins.path(PIN))
}

fn link(program: &mut SockOps, root: &Path) -> Result<FdLink, Cause> {
    // Links are always many to a cgroup; the mode is one of the calls before links, and must be none here.
    let id = program.attach(File::open(root)?, CgroupAttachMode::Single)?;
    Ok(program.take_link(id)?.try_into()?)
}

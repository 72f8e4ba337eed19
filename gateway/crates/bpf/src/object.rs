use std::{
    fs,
    path::{Path, PathBuf},
};

use ebpf_common::{ABI_VERSION, names};

use crate::Error;

/// The file that holds every program.
const NAME: &str = "gateway.bpf.o";

/// An object file that was built for this version of the gateway.
pub(crate) struct Object {
    /// Its content.
    pub(crate) bytes: Vec<u8>,
}

impl Object {
    /// Reads it from a directory; without one, from `bpf` beside the executable or from `../lib/gateway`.
    pub(crate) fn find(directory: Option<&Path>) -> Result<Self, Error> {
        let looked_for = candidates(directory);
        let Some(path) = looked_for.iter().find(|path| path.is_file()) else {
            return Err(Error::NoObject { looked_for });
        };
        let unreadable = |source: Box<_>| Error::Object { path: path.clone(), source };
        let bytes = fs::read(path).map_err(|error| unreadable(error.into()))?;
        let found = abi(&bytes).map_err(|error| unreadable(error.into()))?;
        if found != Some(ABI_VERSION) {
            return Err(Error::Abi { path: path.clone(), found, expected: ABI_VERSION });
        }
        Ok(Self { bytes })
    }
}

fn candidates(directory: Option<&Path>) -> Vec<PathBuf> {
    if let Some(directory) = directory {
        return vec![directory.join(NAME)];
    }
    let executable = std::env::current_exe().unwrap_or_default();
    let beside = executable.parent().unwrap_or(Path::new(""));
    [beside.join("bpf"), beside.join("../lib/gateway")].map(|directory| directory.join(NAME)).to_vec()
}

/// The version that an object file says it has.
fn abi(bytes: &[u8]) -> Result<Option<u32>, aya_obj::ParseError> {
    let object = aya_obj::Object::parse(bytes)?;
    Ok(object.maps.get(names::ABI).map(aya_obj::Map::max_entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_object_names_where_it_was_looked_for() {
        let error = Object::find(Some(Path::new("/nonexistent"))).err().expect("there is none");
        assert!(error.to_string().contains("/nonexistent/gateway.bpf.o"), "{error}");
        let error = Object::find(None).err();
        assert!(error.is_none_or(|error| error.to_string().contains("lib/gateway")), "both places are named");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(NAME), "no ELF").expect("a file");
        assert!(matches!(Object::find(Some(directory.path())), Err(Error::Object { .. })));
    }
}

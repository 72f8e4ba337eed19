//! Which version of each object is in force.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use crate::{
    Diagnostic, LoaderState, ManifestSet, Meta, ObjectId, Origin, Positions, Severity, StoredObject,
    Timestamp,
    document::{Body, Document, FileRead},
    modelled::{self, Modelled, State},
    object::Head,
    typing,
};

/// What is known of objects from earlier loads.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    objects: HashMap<ObjectId, Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    /// The file in force.
    file: Arc<Path>,
    first_seen: Timestamp,
    generation: i64,
    digest: u64,
    good: Option<Arc<Document>>,
}

/// A version of an object that some file has.
struct Candidate {
    document: Arc<Document>,
    /// The file is refused, and why: the document is what was good in it.
    broken: Option<String>,
}

impl Memory {
    /// Chooses what is in force, and remembers it.
    pub(crate) fn in_force(
        &mut self,
        reads: &BTreeMap<Arc<Path>, Arc<FileRead>>,
        mut diagnostics: Vec<Diagnostic>,
        now: Timestamp,
    ) -> ManifestSet {
        for read in reads.values() {
            diagnostics.extend(read.diagnostics.iter().cloned());
        }
        let mut set = ManifestSet::default();
        let mut remembered = HashMap::with_capacity(self.objects.len());
        for (id, candidates) in self.candidates(reads) {
            let earlier = self.objects.get(&id);
            let Some(chosen) = choose(candidates, earlier, &mut diagnostics) else { continue };
            if matches!(chosen.document.body, Body::Unmodelled) {
                set.unmodelled.push(id);
                continue;
            }
            let next = Remembered::next(earlier, &chosen, now);
            place(&mut set, &chosen, &next);
            remembered.insert(id, next);
        }
        self.objects = remembered;
        modelled::sort(&mut set);
        set.unmodelled.sort();
        diagnostics.sort_by(|a, b| (&a.origin, a).cmp(&(&b.origin, b)));
        diagnostics.dedup();
        set.diagnostics = diagnostics;
        set
    }

    /// The versions of each object, by file and place in it.
    fn candidates(&self, reads: &BTreeMap<Arc<Path>, Arc<FileRead>>) -> HashMap<ObjectId, Vec<Candidate>> {
        let mut candidates: HashMap<ObjectId, Vec<Candidate>> = HashMap::with_capacity(self.objects.len());
        let mut last_good: HashMap<&Path, Vec<&Arc<Document>>> = HashMap::new();
        if reads.values().any(|read| read.broken.is_some()) {
            for object in self.objects.values() {
                last_good.entry(&object.file).or_default().extend(&object.good);
            }
        }
        for (file, read) in reads {
            let mut add = |document: &Arc<Document>, broken: Option<String>| {
                let candidate = Candidate { document: Arc::clone(document), broken };
                candidates.entry(document.id.clone()).or_default().push(candidate);
            };
            match &read.broken {
                None => read.documents.iter().for_each(|document| add(document, None)),
                Some(why) => {
                    for document in last_good.get(&**file).into_iter().flatten() {
                        add(document, Some(why.clone()));
                    }
                }
            }
        }
        candidates
    }

    /// The files of the objects in force.
    pub(crate) fn files(&self) -> impl Iterator<Item = Arc<Path>> {
        self.objects.values().map(|object| Arc::clone(&object.file))
    }

    pub(crate) fn store(&self) -> LoaderState {
        let mut objects: Vec<StoredObject> = self
            .objects
            .iter()
            .map(|(id, object)| StoredObject {
                file: Arc::clone(&object.file),
                kind: Arc::clone(&id.kind),
                group: Arc::clone(&id.group),
                namespace: Arc::clone(&id.namespace),
                name: Arc::clone(&id.name),
                first_seen: object.first_seen.0,
                generation: object.generation,
                digest: object.digest,
                document: object.good.as_ref().and_then(|document| document.json()),
            })
            .collect();
        objects.sort_by(|a, b| {
            (&a.kind, &a.group, &a.namespace, &a.name).cmp(&(&b.kind, &b.group, &b.namespace, &b.name))
        });
        LoaderState { objects }
    }

    /// Objects whose stored text is not good any more (an older version of the program wrote it) keep their
    /// times and counts.
    pub(crate) fn restore(state: LoaderState) -> Self {
        let restore = |object: StoredObject| {
            let file = object.file;
            let id = ObjectId {
                kind: object.kind,
                group: object.group,
                namespace: object.namespace,
                name: object.name,
            };
            let good = object.document.and_then(|text| {
                let document = FileRead::of(&file, text.as_bytes(), None).documents.into_iter().next()?;
                (document.id == id && matches!(document.body, Body::Good(..))).then_some(document)
            });
            let first_seen = Timestamp(object.first_seen);
            (id, Remembered { file, first_seen, generation: object.generation, digest: object.digest, good })
        };
        Self { objects: state.objects.into_iter().map(restore).collect() }
    }
}

/// The version in force stays, else the first by file and place. The others, and it, get a diagnostic.
fn choose(
    candidates: Vec<Candidate>,
    earlier: Option<&Remembered>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Candidate> {
    let in_force =
        |candidate: &Candidate| earlier.is_some_and(|earlier| earlier.file == candidate.document.origin.file);
    let index = candidates.iter().position(in_force).unwrap_or(0);
    let chosen = candidates.get(index)?;
    if candidates.len() > 1 && !matches!(chosen.document.body, Body::Unmodelled) {
        let here = &chosen.document.origin;
        let mut say = |severity, document: &Document, message| {
            diagnostics.push(Diagnostic {
                severity,
                origin: document.origin.clone(),
                object: Some(document.id.clone()),
                field_path: String::new(),
                reason: "DuplicateObject",
                message,
            });
        };
        for (_, candidate) in candidates.iter().enumerate().filter(|(other, _)| *other != index) {
            say(
                Severity::Error,
                &candidate.document,
                format!("has no effect: the same object is in force from {here}"),
            );
            let message = format!("in force; the same object stands again at {}", candidate.document.origin);
            say(Severity::Warning, &chosen.document, message);
        }
    }
    candidates.into_iter().nth(index)
}

impl Remembered {
    fn next(earlier: Option<&Self>, chosen: &Candidate, now: Timestamp) -> Self {
        let document = &chosen.document;
        let mut next = earlier.cloned().unwrap_or_else(|| Self {
            file: Arc::clone(&document.origin.file),
            first_seen: now,
            generation: 1,
            digest: 0,
            good: None,
        });
        next.file = Arc::clone(&document.origin.file);
        let unchanged = next.good.as_ref().is_some_and(|good| Arc::ptr_eq(good, document));
        if chosen.broken.is_none() && matches!(document.body, Body::Good(..)) && !unchanged {
            let digest = document.digest();
            if digest != next.digest {
                next.generation += i64::from(next.digest != 0);
                next.digest = digest;
            }
            next.good = Some(Arc::clone(document));
        }
        next
    }
}

fn place(set: &mut ManifestSet, chosen: &Candidate, remembered: &Remembered) {
    let document = &chosen.document;
    let good = remembered.good.as_deref();
    let spec_of = |document: &Document| match &document.body {
        Body::Good(_, spec) => Some(Arc::clone(spec)),
        Body::Refused(..) | Body::Unmodelled => None,
    };
    let (modelled, state): (&Modelled, State) = match (&document.body, &chosen.broken) {
        (Body::Unmodelled, _) => return,
        (Body::Good(modelled, spec), Some(why)) => (modelled, State::Stale(Arc::clone(spec), why.clone())),
        (Body::Good(modelled, spec), None) => (modelled, State::Good(Arc::clone(spec))),
        (Body::Refused(modelled, why), _) => match good.and_then(spec_of) {
            Some(spec) => (modelled, State::Stale(spec, why.clone())),
            None => (modelled, State::Refused(why.clone())),
        },
    };
    // What is refused is refused whole, its labels too.
    let (metadata, unserved) = match (&state, good) {
        (State::Stale(..), Some(good)) => (&good.metadata, &good.unserved),
        _ => (&document.metadata, &document.unserved),
    };
    let meta = Meta {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        created: metadata.created.unwrap_or(remembered.first_seen),
        generation: metadata.generation.unwrap_or(remembered.generation),
        uid: metadata.uid.clone(),
    };
    let (origin, positions) = match chosen.broken {
        // The text that the places belong to is gone.
        Some(_) => (Origin { position: None, ..document.origin.clone() }, Positions::default()),
        None => (document.origin.clone(), document.tree.clone().map(Positions::new).unwrap_or_default()),
    };
    let id = document.id.clone();
    let head = Head { id, meta, origin, positions: Arc::new(positions), unserved: unserved.clone() };
    (modelled.place)(set, head, state);
}

impl Document {
    /// The text as JSON, without what only an API server writes.
    fn json(&self) -> Option<Arc<str>> {
        let tree = self.tree.as_ref()?;
        Some(Arc::clone(self.stored.get_or_init(|| Arc::from(typing::json(tree, &["status"])))))
    }
}

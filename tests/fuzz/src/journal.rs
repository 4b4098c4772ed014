//! Any bytes as the files of a journal: reading them ends with what its writer has written, or with what is wrong.
//!
//! What the driver's reader makes of a file and what the reader that only looks says of it is the same. A file that is
//! refused stays as it is; of one that is taken, nothing but a torn tail is cut. What was taken can be gone on with:
//! appended to, begun anew as the next generation, and read back.
//!
//! An input says by its first byte what it is: one file as it is, or one or two that are made by a `Script`.

mod medium;
mod script;

use allocator_api2::alloc::Global;
use arbitrary::{Arbitrary, Unstructured};
use nsemail_provider_core::{
    journal::{
        format::{self, FrameBuilder, Kind},
        generations::{Journal, Receiver},
        inspect::{FaultKind, Item, Summary, inspect},
        log::{LoadError, Loaded, Log, Refused},
    },
    store::{Batch, HashKey, Key, Limits, Record, RecordRef, Store},
};

use medium::{File, Medium, Never};
use script::Script;

/// The namespace provider whose journal this is.
const PROVIDER: [u8; 16] = *b"0123456789abcdef";

/// Bytes as a journal.
///
/// # Panics
/// If the property does not hold.
pub fn check(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let mut files = [None, None];
    let first = usize::from(how & 1);
    if how & 2 == 0 {
        files[first] = Some(rest.to_vec());
    } else {
        let mut rest = Unstructured::new(rest);
        let mut script = || Script::arbitrary(&mut rest).ok().map(|script| script.bytes());
        files[first] = script();
        if how & 4 != 0 {
            files[first ^ 1] = script();
        }
    }
    for file in files.iter().flatten() {
        one_file(file);
    }
    both_files(&files);
}

/// What a store holds: the packed records, sorted.
type Contents = Vec<Vec<u8>>;

/// What the driver does with records.
struct Loading {
    store: Store<Global>,
    /// The same by comparison of keys alone.
    model: Vec<Record<Global>>,
}

impl Loading {
    fn new() -> Self {
        Self {
            store: Store::try_new_in(HashKey::new([1, 2]), Limits::DEFAULT, Global).expect("memory"),
            model: Vec::new(),
        }
    }

    fn forget(&mut self, key: &Key<'_>) {
        self.model
            .retain(|record| !Key::of(&record.view()).same_object(key));
    }

    /// What is in the store, which is what is in the model.
    fn contents(&self) -> Contents {
        let sorted = |mut contents: Contents| {
            contents.sort();
            contents
        };
        let contents = sorted(self.store.contents().map(<[u8]>::to_vec).collect());
        let model = sorted(
            self.model
                .iter()
                .map(|record| record.as_bytes().to_vec())
                .collect(),
        );
        assert_eq!(contents, model);
        assert_eq!(self.store.len(), contents.len());
        assert_eq!(
            self.store.bytes(),
            contents.iter().map(|record| record.len() as u64).sum::<u64>()
        );
        for record in &self.model {
            let found = self
                .store
                .find(&Key::of(&record.view()))
                .expect("what was loaded is found");
            assert_eq!(found.as_bytes(), record.as_bytes());
        }
        contents
    }
}

impl Receiver for Loading {
    fn begin(&mut self, _: u64) {
        self.store.clear();
        self.model.clear();
    }

    fn receive(&mut self, record: format::Record<'_>) -> Result<(), Refused> {
        match record.kind {
            Kind::Put => {
                let record = Record::try_from_bytes_in(record.content, Global).expect("memory");
                let record = record.ok_or(Refused::Malformed)?;
                self.forget(&Key::of(&record.view()));
                self.model.push(record.clone());
                self.store.load_put(record).expect("memory");
            }
            Kind::Remove => {
                let key = RecordRef::parse(record.content).ok_or(Refused::Malformed)?;
                self.forget(&Key::of(&key));
                self.store.load_remove(&Key::of(&key)).expect("memory");
            }
            Kind::SnapshotEnd => {}
        }
        Ok(())
    }
}

/// A file's header and frames, read as the driver does.
fn load(medium: &Medium, loading: &mut Loading) -> Result<(Log<medium::File>, Loaded), LoadError<Never>> {
    Log::open(medium.file(1), PROVIDER, Global, |record| loading.receive(record))
}

/// The two readers agree about one file, and what was taken can be appended to.
fn one_file(bytes: &[u8]) {
    let mut complete = false;
    // Where frames begin, and whether anything was wrong with a record of the last.
    let mut frames = Vec::new();
    let summary = inspect(bytes, |item| match item {
        Item::Frame(frame) => frames.push(frame.offset),
        Item::Record(entry) => complete |= entry.kind == Kind::SnapshotEnd,
    });
    let medium = Medium::holding([None, Some(bytes.to_vec())]);
    let mut loading = Loading::new();
    let mut log = match load(&medium, &mut loading) {
        Ok((log, loaded)) => {
            taken(bytes, &medium, &summary, complete, loaded);
            assert_eq!(log.size(), summary.end as u64);
            log
        }
        Err(error) => {
            assert_eq!(
                medium.files()[1].as_deref(),
                Some(bytes),
                "a file that is refused stays as it is"
            );
            return refused(error, &summary, frames.last().copied());
        }
    };
    let before = loading.contents();
    append(&mut loading, |frame| log.append(frame, true).expect("memory"));
    let after = loading.contents();
    assert!(after.len() == before.len() || after.len() == before.len() + 1);
    let mut again = Loading::new();
    let (_, loaded) = load(&medium, &mut again).expect("what was appended to can be read");
    assert_eq!((loaded.records, loaded.cut), (summary.records + 1, 0));
    assert_eq!(again.contents(), after);
}

/// Registers a name, as the driver does.
fn append(loading: &mut Loading, write: impl FnOnce(&mut FrameBuilder<Global>)) {
    let change = script::registration(3, 3, true);
    let mut batch = Batch::new_in(Global);
    let mut frame = FrameBuilder::try_new_in(Global).expect("memory");
    match batch
        .stage(&loading.store, &change)
        .expect("there is room for a name")
        .written
    {
        Some(nsemail_provider_core::store::batch::Written::Put(content)) => {
            frame.try_push(Kind::Put, content).expect("memory");
            let record = Record::try_from_bytes_in(content, Global).expect("memory");
            let record = record.expect("what is written can be read");
            loading.forget(&Key::of(&record.view()));
            loading.model.push(record);
        }
        // A registration like the present one writes nothing.
        other => {
            assert_eq!(other, None, "a registration removes nothing");
            let present = loading.store.find(&change.key()).expect("it is there");
            frame.try_push(Kind::Put, present.as_bytes()).expect("memory");
        }
    }
    loading.store.reserve(&batch).expect("memory");
    write(&mut frame);
    loading.store.publish(&batch);
}

/// The file was loaded.
fn taken(bytes: &[u8], medium: &Medium, summary: &Summary, complete: bool, loaded: Loaded) {
    assert_eq!(loaded.records, summary.records);
    assert_eq!(loaded.complete, complete);
    let kept = medium.files()[1].clone().expect("it is there");
    let torn = match summary.fault.map(|fault| (fault.offset, fault.kind)) {
        None => 0,
        Some((_, FaultKind::NotComplete)) => {
            assert!(!complete);
            0
        }
        Some((offset, FaultKind::TornTail(torn))) => {
            assert_eq!(offset, summary.end);
            assert!(torn > 0 && bytes[offset + torn..].iter().all(|&byte| byte == 0));
            torn
        }
        Some(fault) => panic!("{fault:?} was loaded"),
    };
    assert_eq!(loaded.cut, torn as u64);
    let rest = if torn == 0 { bytes.len() } else { summary.end };
    assert_eq!(kept, bytes[..rest], "nothing but a torn tail is cut");
}

/// The file was not loaded, and the last frame begins there.
fn refused(error: LoadError<Never>, summary: &Summary, last: Option<usize>) {
    let fault = summary.fault.map(|fault| (fault.offset, fault.kind));
    match error {
        LoadError::Unfinished => assert_eq!(fault, Some((0, FaultKind::Unfinished))),
        LoadError::Version(version) => assert_eq!(fault, Some((8, FaultKind::Version(version)))),
        LoadError::Foreign => {
            let header = summary.header.expect("there is a header");
            assert_ne!(header.provider, PROVIDER);
        }
        LoadError::Damaged(at) => {
            let at = usize::try_from(at).expect("within the file");
            match fault {
                Some((0, FaultKind::Header)) => assert_eq!(at, 0),
                Some((offset, FaultKind::Damaged(later))) => {
                    assert_eq!(offset, at);
                    assert!(later >= at);
                }
                Some((offset, FaultKind::Malformed)) => {
                    assert_eq!(last, Some(at), "the frame of the record");
                    assert!(offset > at);
                }
                other => panic!("the file is damaged at {at}, and what was found is {other:?}"),
            }
        }
        LoadError::Stopped | LoadError::OutOfMemory => panic!("{error:?}: nobody stops it"),
        LoadError::File(never) => match never {},
    }
}

type Opened = Result<(Journal<Medium, File>, Loading), LoadError<Never>>;

fn open(medium: &Medium) -> Opened {
    let mut loading = Loading::new();
    Journal::open(medium.clone(), PROVIDER, 7, &Global, &mut loading).map(|(journal, _)| (journal, loading))
}

/// The driver begins with these files, goes on, rewrites what it has, and begins again.
fn both_files(files: &[Option<Vec<u8>>; 2]) {
    let medium = Medium::holding(files.clone());
    let Ok((mut journal, mut loading)) = open(&medium) else {
        assert_eq!(&medium.files(), files, "files that are refused stay as they are");
        return;
    };
    if journal.generation() > format::GENERATIONS - 8 {
        // No driver gets there, and this one would not get further.
        return;
    }
    append(&mut loading, |frame| journal.append(frame, true).expect("memory"));
    let contents = loading.contents();
    let generation = journal.generation();
    drop(journal);

    let (mut journal, loading) = open(&medium).expect("what was appended to can be read");
    assert_eq!(
        (loading.contents(), journal.generation()),
        (contents.clone(), generation)
    );
    let mut next = journal.begin_next(9, &Global).expect("memory");
    for content in loading.store.contents() {
        next.put(content).expect("room in a frame");
    }
    next.write().expect("memory");
    let (_, interrupted) = open(&Medium::holding(medium.files())).expect("as if the power had failed here");
    assert_eq!(
        interrupted.contents(),
        contents,
        "the present generation counts until the next one does"
    );
    journal.switch(next).expect("memory");
    let generation = journal.generation();
    drop(journal);

    let (journal, loading) = open(&medium).expect("a generation of our own can be read");
    assert_eq!((loading.contents(), journal.generation()), (contents, generation));
}

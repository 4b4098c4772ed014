//! What a power failure leaves on the medium.
//!
//! A machine that was built with [`record_disk`](crate::machine::MachineBuilder::record_disk) writes down what
//! happens to its volume, step by step. From that, [`Files::crash_image`](super::Files::crash_image) tells what is on
//! the medium if the power fails after any of the steps; another machine boots from it
//! ([`disk`](crate::machine::MachineBuilder::disk)). One run of a workload so yields a power failure at each of its
//! steps, in as many variants as a test likes.
//!
//! # The model
//!
//! It promises less than NTFS keeps, so that nothing depends on the file system's kindness:
//!
//! - `ZwFlushBuffersFile` makes its file durable: content, size, and the name that it has, with the directories above.
//!   It does so for no other file, and not for a name that was removed.
//! - Nothing else is durable: no write, no change of size, no name that was made, changed or removed. Each may reach
//!   the medium at any time, before or after anything else that is not durable. Closing a file changes nothing.
//! - Of content that is not durable, each sector of [`SECTOR`] bytes is as it was at some moment since it was last
//!   durable, whichever moments the others show; likewise, on its own, the size. To cut a file writes no sector: if its
//!   size is the old one, so is what was cut off. Where a file has grown and nothing has reached the medium, there are
//!   zeros.
//! - Each making, renaming or removing of a name happens wholly or not at all; those of one file in their order.
//!   Renaming over another file is one step. (Renaming a directory counts as durable; drivers here do not do it.)
//! - What is durable stays as it is: this is about power, not about broken disks.
//!
//! What a test does through [`Machine::files`](crate::Machine::files) is durable at once.

use std::collections::BTreeMap;

use super::path::VolumePath;
use crate::sync::StateLock;

/// What a medium keeps or loses as a whole.
pub const SECTOR: usize = 512;

/// What becomes of all that is not durable when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is lost.
    Everything,
    /// It has all reached the medium.
    Nothing,
    /// It has reached the medium in order up to some step, of which, if it is a write, some first bytes as well. The
    /// seed decides.
    Tail(u64),
    /// Any of it has reached the medium, in any order. The seed decides.
    Scattered(u64),
}

impl Loss {
    /// The variants one after the other: the two extremes, then the others in turn.
    #[must_use]
    pub const fn variant(number: u64) -> Self {
        match number {
            0 => Self::Everything,
            1 => Self::Nothing,
            seed if seed % 2 == 0 => Self::Tail(seed),
            seed => Self::Scattered(seed),
        }
    }
}

/// What is on a medium: directories, and files with their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk(pub(super) BTreeMap<String, (VolumePath, Content)>);

/// What a name on a medium stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Directory,
    File(Vec<u8>),
}

/// A change of the volume.
#[derive(Clone, Debug)]
pub(super) enum Step {
    CreateFile { path: VolumePath, id: u64 },
    CreateDirectory { path: VolumePath },
    Remove { path: VolumePath },
    Rename { from: VolumePath, to: VolumePath },
    Write { id: u64, offset: usize, bytes: Vec<u8> },
    SetSize { id: u64, size: usize },
    Flush { id: u64 },
}

/// Writes steps down.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    start: Disk,
    steps: StateLock<Vec<Step>>,
}

impl Recorder {
    pub(super) const fn new(start: Disk) -> Self {
        Self {
            start,
            steps: StateLock::new(Vec::new()),
        }
    }

    pub(super) fn add(&self, step: Step) {
        self.steps.with(|steps| steps.push(step));
    }

    pub(super) fn count(&self) -> usize {
        self.steps.with(|steps| steps.len())
    }

    /// A step in words.
    pub(super) fn describe(&self, index: usize) -> Option<String> {
        self.steps.with(|steps| {
            steps.get(index).map(|step| match step {
                Step::Write { id, offset, bytes } => {
                    format!("file {id}: write {} bytes at {offset}", bytes.len())
                }
                Step::SetSize { id, size } => format!("file {id}: size {size}"),
                Step::Flush { id } => format!("file {id}: flush"),
                Step::CreateFile { path, id } => format!("file {id}: create {}", path.key()),
                Step::CreateDirectory { path } => format!("create directory {}", path.key()),
                Step::Remove { path } => format!("remove {}", path.key()),
                Step::Rename { from, to } => format!("rename {} to {}", from.key(), to.key()),
            })
        })
    }

    /// What is on the medium if the power fails after the first `at` steps.
    pub(super) fn crash_image(&self, at: usize, loss: Loss) -> Disk {
        self.steps.with(|steps| {
            let mut model = Model::new(&self.start);
            for (number, step) in steps.iter().take(at).enumerate() {
                model.step(number, step);
            }
            model.fail(loss)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(u64),
}

type Names = BTreeMap<String, (VolumePath, Node)>;

/// A change of names that is not durable.
#[derive(Clone, Debug)]
enum NameStep {
    Create {
        path: VolumePath,
        node: Node,
    },
    Remove {
        path: VolumePath,
        node: Node,
    },
    Rename {
        from: VolumePath,
        to: VolumePath,
        id: u64,
    },
}

impl NameStep {
    /// The file whose name changes.
    const fn node(&self) -> Node {
        match self {
            Self::Create { node, .. } | Self::Remove { node, .. } => *node,
            Self::Rename { id, .. } => Node::File(*id),
        }
    }

    /// Whether the flush of a file makes this durable, too.
    fn concerns(&self, id: u64, paths: &[String]) -> bool {
        let own = |path: &VolumePath| paths.contains(&path.key());
        self.node() == Node::File(id)
            || match self {
                Self::Create { path, .. } | Self::Remove { path, .. } => own(path),
                Self::Rename { from, to, .. } => own(from) || own(to),
            }
    }

    fn apply(&self, names: &mut Names) {
        let insert = |names: &mut Names, path: &VolumePath, node: Node| {
            let parent = path.parent();
            if parent.depth() == 0 || names.contains_key(&parent.key()) {
                names.insert(path.key(), (path.clone(), node));
            }
        };
        match self {
            Self::Create { path, node } => insert(names, path, *node),
            Self::Remove { path, node } => {
                let key = path.key();
                let below = format!("{key}\\");
                let empty = names
                    .range(below.clone()..)
                    .next()
                    .is_none_or(|(next, _)| !next.starts_with(&below));
                if empty && names.get(&key).is_some_and(|(_, present)| present == node) {
                    names.remove(&key);
                }
            }
            Self::Rename { from, to, id } => {
                if names
                    .get(&from.key())
                    .is_some_and(|(_, node)| *node == Node::File(*id))
                {
                    names.remove(&from.key());
                    insert(names, to, Node::File(*id));
                }
            }
        }
    }
}

/// A change of content that is not durable.
#[derive(Clone, Debug)]
enum DataStep {
    Write { offset: usize, bytes: Vec<u8> },
    SetSize(usize),
}

impl DataStep {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::SetSize(size) => content.resize(*size, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct FileModel {
    durable: Vec<u8>,
    pending: Vec<(usize, DataStep)>,
}

impl FileModel {
    fn flush(&mut self) {
        for (_, step) in core::mem::take(&mut self.pending) {
            step.apply(&mut self.durable);
        }
    }

    /// Each sector, and the size, as at some moment since the last flush.
    fn scatter(&self, dice: &mut Dice) -> Vec<u8> {
        // Beyond the size, a moment has what was there before: to cut a file writes nothing.
        let mut sectors = self.durable.clone();
        let mut size = sectors.len();
        let mut moments = vec![(sectors.clone(), size)];
        for (_, step) in &self.pending {
            let (start, end) = match step {
                DataStep::Write { offset, bytes } => (*offset, offset + bytes.len()),
                DataStep::SetSize(new) => (*new, *new),
            };
            if sectors.len() < end {
                sectors.resize(end, 0);
            }
            if size < start {
                sectors[size..start].fill(0);
            }
            if let DataStep::Write { bytes, .. } = step {
                sectors[start..end].copy_from_slice(bytes);
            }
            size = match step {
                DataStep::Write { .. } => size.max(end),
                DataStep::SetSize(new) => *new,
            };
            moments.push((sectors.clone(), size));
        }
        let (_, size) = *dice.pick(&moments);
        let mut content = vec![0; size];
        for (number, sector) in content.chunks_mut(SECTOR).enumerate() {
            let start = number * SECTOR;
            let from = dice.pick(&moments).0.get(start..).unwrap_or_default();
            let length = from.len().min(sector.len());
            sector[..length].copy_from_slice(&from[..length]);
        }
        content
    }
}

/// What is live, what is durable, and what lies between.
#[derive(Debug)]
struct Model {
    live: Names,
    durable: Names,
    pending: Vec<(usize, NameStep)>,
    files: BTreeMap<u64, FileModel>,
}

impl Model {
    fn new(start: &Disk) -> Self {
        let mut names = Names::new();
        let mut files = BTreeMap::new();
        for ((key, (path, content)), id) in start.0.iter().zip(0..) {
            let node = match content {
                Content::Directory => Node::Directory,
                Content::File(content) => {
                    let file = FileModel {
                        durable: content.clone(),
                        pending: Vec::new(),
                    };
                    files.insert(id, file);
                    Node::File(id)
                }
            };
            names.insert(key.clone(), (path.clone(), node));
        }
        Self {
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
            files,
        }
    }

    fn step(&mut self, number: usize, step: &Step) {
        match step {
            Step::CreateFile { path, id } => {
                self.files.insert(*id, FileModel::default());
                self.create(number, path, Node::File(*id));
            }
            Step::CreateDirectory { path } => self.create(number, path, Node::Directory),
            Step::Remove { path } => {
                if let Some((_, node)) = self.live.get(&path.key()) {
                    let (path, node) = (path.clone(), *node);
                    self.name_step(number, NameStep::Remove { path, node });
                }
            }
            Step::Rename { from, to } => match self.live.get(&from.key()) {
                Some((_, Node::File(id))) => {
                    let (from, to, id) = (from.clone(), to.clone(), *id);
                    self.name_step(number, NameStep::Rename { from, to, id });
                }
                Some((_, Node::Directory)) => self.rename_directory(from, to),
                None => {}
            },
            Step::Write { id, offset, bytes } => {
                let (offset, bytes) = (*offset, bytes.clone());
                self.data_step(number, *id, DataStep::Write { offset, bytes });
            }
            Step::SetSize { id, size } => self.data_step(number, *id, DataStep::SetSize(*size)),
            Step::Flush { id } => self.flush(*id),
        }
    }

    fn create(&mut self, number: usize, path: &VolumePath, node: Node) {
        let path = path.clone();
        self.name_step(number, NameStep::Create { path, node });
    }

    fn name_step(&mut self, number: usize, step: NameStep) {
        step.apply(&mut self.live);
        self.pending.push((number, step));
    }

    fn data_step(&mut self, number: usize, id: u64, step: DataStep) {
        self.files.entry(id).or_default().pending.push((number, step));
    }

    fn flush(&mut self, id: u64) {
        self.files.entry(id).or_default().flush();
        let path = self.live.values().find(|(_, node)| *node == Node::File(id));
        let paths: Vec<String> = path.map_or_else(Vec::new, |(path, _)| {
            (1..=path.depth()).map(|depth| path.prefix(depth).key()).collect()
        });
        let pending = core::mem::take(&mut self.pending);
        for (number, step) in pending {
            if step.concerns(id, &paths) {
                step.apply(&mut self.durable);
            } else {
                self.pending.push((number, step));
            }
        }
    }

    fn rename_directory(&mut self, from: &VolumePath, to: &VolumePath) {
        for (_, step) in core::mem::take(&mut self.pending) {
            step.apply(&mut self.durable);
        }
        for names in [&mut self.live, &mut self.durable] {
            let (key, below) = (from.key(), format!("{}\\", from.key()));
            let all = core::mem::take(names);
            for (name, (path, node)) in all {
                let path = if name == key || name.starts_with(&below) {
                    path.moved(from.depth(), to)
                } else {
                    path
                };
                names.insert(path.key(), (path, node));
            }
        }
    }

    fn fail(mut self, loss: Loss) -> Disk {
        match loss {
            Loss::Everything => {}
            Loss::Nothing => self.keep_first(usize::MAX, &mut Dice(0)),
            Loss::Tail(seed) => {
                let count = self.pending.len() + self.files.values().map(|f| f.pending.len()).sum::<usize>();
                let mut dice = Dice(seed);
                let kept = dice.below(count + 1);
                self.keep_first(kept, &mut dice);
            }
            Loss::Scattered(seed) => self.scatter(&mut Dice(seed)),
        }
        let Self { durable, files, .. } = self;
        let content = |node| match node {
            Node::Directory => Content::Directory,
            Node::File(id) => Content::File(
                files
                    .get(&id)
                    .map(|file| file.durable.clone())
                    .unwrap_or_default(),
            ),
        };
        let entries = durable.into_iter();
        Disk(
            entries
                .map(|(key, (path, node))| (key, (path, content(node))))
                .collect(),
        )
    }

    /// Keeps the first `kept` steps of those that are not durable, and of the next, if it is a write, a part.
    fn keep_first(&mut self, kept: usize, dice: &mut Dice) {
        let mut numbers: Vec<usize> = self.pending.iter().map(|(number, _)| *number).collect();
        numbers.extend(
            self.files
                .values()
                .flat_map(|file| file.pending.iter().map(|(number, _)| *number)),
        );
        numbers.sort_unstable();
        let first_lost = numbers.get(kept).copied().unwrap_or(usize::MAX);
        for (number, step) in &self.pending {
            if *number < first_lost {
                step.apply(&mut self.durable);
            }
        }
        for file in self.files.values_mut() {
            for (number, step) in core::mem::take(&mut file.pending) {
                match step {
                    step if number < first_lost => step.apply(&mut file.durable),
                    DataStep::Write { offset, mut bytes } if number == first_lost => {
                        bytes.truncate(dice.below(bytes.len() + 1));
                        DataStep::Write { offset, bytes }.apply(&mut file.durable);
                    }
                    _ => {}
                }
            }
        }
    }

    fn scatter(&mut self, dice: &mut Dice) {
        let mut stopped: Vec<Node> = Vec::new();
        for (_, step) in &self.pending {
            let node = step.node();
            // The steps of one file's name are not reordered among themselves.
            if stopped.contains(&node) || dice.below(2) == 0 {
                stopped.push(node);
            } else {
                step.apply(&mut self.durable);
            }
        }
        for file in self.files.values_mut() {
            file.durable = file.scatter(dice);
        }
    }
}

/// Steele, Lea and Flood's `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(mixed % limit).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

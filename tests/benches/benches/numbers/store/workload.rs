//! What is done with the contenders: the same operations for all, in the same order.

use fastrand::Rng;
use nsemail_benches::names::Names;

/// Operations of one round.
const WINDOW: usize = 100_000;
/// Windows that are prepared. Rounds that follow each other use different ones, so that no look-up finds in the caches
/// what the same look-up brought there.
const WINDOWS: usize = 6;
/// One look-up in so many asks for a name that is not there.
const MISS_EVERY: usize = 20;
/// With changes, one operation in so many is one.
const CHANGE_EVERY: usize = 20;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// Looks up a name as someone spelled it.
    LookUp(&'a [u16]),
    /// Registers the name with that number.
    Register(usize),
    /// Deletes the name with that number.
    Delete(usize),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    LookUp { start: u32, units: u16 },
    Register(u32),
    Delete(u32),
}

/// The operations of one thread.
pub struct Workload {
    /// The spellings, one after the other: reading them costs every contender the same, and little.
    units: Vec<u16>,
    steps: Vec<Step>,
    /// Look-ups that find something, by window.
    hits: Vec<usize>,
}

/// The operations of one round of one thread.
pub struct Window<'a> {
    units: &'a [u16],
    steps: &'a [Step],
    hits: usize,
}

impl Workload {
    /// Prepares the operations of that thread. Changes concern names that no look-up asks for, each thread's own: a
    /// name that one change registers, the next one deletes.
    pub fn new(names: Names, thread: usize, changes: bool) -> Self {
        let number = |number: usize| u32::try_from(number).expect("sizes are small");
        let mut rng = Rng::with_seed(thread as u64 + 1);
        let mut workload = Self {
            units: Vec::new(),
            steps: Vec::with_capacity(WINDOW * WINDOWS),
            hits: Vec::new(),
        };
        for _ in 0..WINDOWS {
            let mut hits = 0;
            let (mut registers, mut fresh) = (false, 0);
            for index in 0..WINDOW {
                if changes && index % CHANGE_EVERY == CHANGE_EVERY - 1 {
                    registers = !registers;
                    let step = if registers {
                        fresh = names.count * (2 + thread) + rng.usize(..names.count);
                        Step::Register(number(fresh))
                    } else {
                        Step::Delete(number(fresh))
                    };
                    workload.steps.push(step);
                    continue;
                }
                let hit = index % MISS_EVERY != 0;
                hits += usize::from(hit);
                let asked = rng.usize(..names.count) + if hit { 0 } else { names.count };
                let spelled = names.spelled_otherwise(asked, &mut rng);
                let start = workload.units.len();
                workload.units.extend(spelled.encode_utf16());
                workload.steps.push(Step::LookUp {
                    start: number(start),
                    units: u16::try_from(workload.units.len() - start).expect("names are short"),
                });
            }
            workload.hits.push(hits);
        }
        workload
    }

    /// The operations of that round.
    pub fn window(&self, round: usize) -> Window<'_> {
        let index = round % WINDOWS;
        Window {
            units: &self.units,
            steps: &self.steps[index * WINDOW..][..WINDOW],
            hits: self.hits[index],
        }
    }
}

impl Window<'_> {
    /// The operations in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.steps.iter().map(|step| match *step {
            Step::LookUp { start, units } => {
                Operation::LookUp(&self.units[start as usize..][..usize::from(units)])
            }
            Step::Register(number) => Operation::Register(number as usize),
            Step::Delete(number) => Operation::Delete(number as usize),
        })
    }

    /// Number of operations.
    pub const fn len(&self) -> usize {
        self.steps.len()
    }

    /// How many look-ups find something.
    pub const fn hits(&self) -> usize {
        self.hits
    }
}

//! Names for schedules: who decides which thread runs next, and from which numbers.

use std::{fmt, str::FromStr};

/// How the next thread is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Any thread that can run; how eager the schedule is to switch is drawn too.
    Random,
    /// By priority (probabilistic concurrency testing): the thread of the highest priority runs, priorities are
    /// drawn, and the running thread falls to the lowest at a few drawn moments. A bug that needs `depth` ordered
    /// events is found with a known chance.
    Priority {
        /// One more than the number of moments at which a priority changes.
        depth: u8,
        /// From how many decisions those moments are drawn.
        length: u32,
    },
}

/// A schedule: the same seed and the same subject give the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed {
    /// How threads are chosen.
    pub strategy: Strategy,
    /// From what numbers.
    pub number: u64,
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::Random => write!(f, "random:{:x}", self.number),
            Strategy::Priority { depth, length } => write!(f, "pct{depth}:{length}:{:x}", self.number),
        }
    }
}

/// What is wrong with the text of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSeed;

impl fmt::Display for NoSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a seed looks like random:1f3a or pct3:400:1f3a")
    }
}

impl std::error::Error for NoSeed {}

impl FromStr for Seed {
    type Err = NoSeed;

    fn from_str(text: &str) -> Result<Self, NoSeed> {
        let parts: Vec<_> = text.split(':').collect();
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| NoSeed);
        match parts[..] {
            ["random", digits] => Ok(Self {
                strategy: Strategy::Random,
                number: number(digits)?,
            }),
            [depth, length, digits] => {
                let depth = depth.strip_prefix("pct").ok_or(NoSeed)?;
                let depth = depth.parse().map_err(|_| NoSeed)?;
                let length = length.parse().map_err(|_| NoSeed)?;
                Ok(Self {
                    strategy: Strategy::Priority { depth, length },
                    number: number(digits)?,
                })
            }
            _ => Err(NoSeed),
        }
    }
}

//! Measuring contenders side by side.

/// What was measured over several rounds: the median, and the quarters below and above as the spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The middle of all rounds.
    pub median: f64,
    /// A quarter of the rounds were below.
    pub low: f64,
    /// A quarter of the rounds were above.
    pub high: f64,
}

impl Sample {
    /// The sample of those rounds.
    ///
    /// # Panics
    ///
    /// If there was no round.
    #[must_use]
    pub fn of(rounds: &[f64]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| sorted[(sorted.len() - 1) * quarter / 4];
        Self {
            median: at(2),
            low: at(1),
            high: at(3),
        }
    }

    /// Something that was counted, and does not vary.
    #[must_use]
    pub const fn exactly(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }

    /// Half of the spread, relative to the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.median
    }
}

/// One of several ways to do the same.
pub struct Contender<'a> {
    /// What it is called in the table.
    pub name: &'static str,
    round: Box<dyn FnMut() -> f64 + 'a>,
    results: Vec<f64>,
}

impl<'a> Contender<'a> {
    /// A contender, one round of which is run, and its cost told, by `round`.
    pub fn new(name: &'static str, round: impl FnMut() -> f64 + 'a) -> Self {
        Self {
            name,
            round: Box::new(round),
            results: Vec::new(),
        }
    }
}

/// Runs all contenders so many rounds, after one that is not counted. In each round every contender has its turn, and
/// another one is the first.
#[must_use]
pub fn take_turns(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<(&'static str, Sample)> {
    for contender in &mut contenders {
        (contender.round)();
    }
    for first in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (first + turn) % contenders.len();
            let contender = &mut contenders[index];
            let cost = (contender.round)();
            contender.results.push(cost);
        }
    }
    contenders
        .into_iter()
        .map(|contender| (contender.name, Sample::of(&contender.results)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_median_between_its_quarters() {
        let sample = Sample::of(&[9.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!((sample.low, sample.median, sample.high), (2.0, 3.0, 4.0));
    }

    #[test]
    fn every_contender_has_its_turn_in_every_round() {
        let turns = std::cell::RefCell::new(String::new());
        let contender = |name: &'static str| {
            let turns = &turns;
            Contender::new(name, move || {
                turns.borrow_mut().push_str(name);
                1.0
            })
        };
        let samples = take_turns(2, vec![contender("a"), contender("b")]);
        assert_eq!(turns.into_inner(), "ababba");
        assert_eq!(samples.len(), 2);
    }
}

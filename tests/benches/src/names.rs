//! Names as the world has them, the same in every run.
//!
//! Local parts are made of given and family names with numbers, in mixed case. Domains differ in size as those of the
//! world do: few large ones, many small ones.

use fastrand::Rng;

const GIVEN: [&str; 40] = [
    "james", "mary", "Wei", "fatima", "John", "olga", "Ahmed", "sofia", "Li", "anna", "david", "maria",
    "Juan", "Priya", "omar", "elena", "peter", "Yuki", "carlos", "ingrid", "Tom", "lucia", "Ivan", "amina",
    "Max", "julia", "Kofi", "emma", "pierre", "nadia", "Lars", "chen", "Raj", "laura", "hans", "Mei", "paul",
    "sara", "Ali", "eva",
];
const FAMILY: [&str; 40] = [
    "Smith", "garcia", "Mueller", "wang", "Kowalski", "ivanov", "Tanaka", "silva", "Johnson", "rossi",
    "Nguyen", "kim", "Jones", "hansen", "Martin", "singh", "Brown", "novak", "Lopez", "haddad", "Williams",
    "okafor", "Schmidt", "dubois", "Taylor", "costa", "Khan", "larsen", "Wilson", "moreau", "Fischer",
    "sato", "Evans", "bianchi", "Weber", "popescu", "Davies", "horvat", "Meyer", "petrov",
];
const WORDS: [&str; 24] = [
    "acme", "north", "blue", "river", "data", "cloud", "green", "metro", "first", "united", "alpine",
    "harbor", "logic", "prime", "nova", "stone", "bright", "global", "pixel", "orchard", "summit", "delta",
    "lumen", "cedar",
];
const ENDS: [&str; 8] = ["com", "org", "net", "example", "co.example", "De", "fr", "IO"];

/// A number of the domain that [`Names::name`] gives a thousand names, whatever the size of the store.
pub const LISTED_DOMAIN: usize = 7;
/// How many names [`LISTED_DOMAIN`] has.
pub const LISTED: usize = 1_000;

/// The names of a run.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// How many are registered.
    pub count: usize,
}

impl Names {
    /// The name with that number, as it is registered. Numbers from [`Self::count`] on are not registered.
    #[must_use]
    pub fn name(self, number: usize) -> String {
        let mut rng = Rng::with_seed(number as u64 ^ 0x5EED_0F4A_11CE_B0B5);
        let domain = self.domain_of(number, &mut rng);
        let given = GIVEN[rng.usize(..GIVEN.len())];
        let family = FAMILY[rng.usize(..FAMILY.len())];
        let separator = [".", "_", "", "-"][rng.usize(..4)];
        format!("{given}{separator}{family}{number}@{}", Self::domain(domain))
    }

    /// How someone else may spell that name: the same letters, in other cases.
    #[must_use]
    pub fn spelled_otherwise(self, number: usize, rng: &mut Rng) -> String {
        let mut name = self.name(number);
        match rng.u8(..4) {
            0 => name.make_ascii_lowercase(),
            1 => name.make_ascii_uppercase(),
            2 => {
                let swapped = |letter: char| match letter {
                    'a'..='z' => letter.to_ascii_uppercase(),
                    _ => letter.to_ascii_lowercase(),
                };
                name = name.chars().map(swapped).collect();
            }
            _ => {}
        }
        name
    }

    /// The text of the domain with that number.
    #[must_use]
    pub fn domain(number: usize) -> String {
        let mut rng = Rng::with_seed(number as u64 ^ 0xD0_4A14);
        let first = WORDS[rng.usize(..WORDS.len())];
        let second = WORDS[rng.usize(..WORDS.len())];
        let end = ENDS[rng.usize(..ENDS.len())];
        format!("{first}-{second}{number}.{end}")
    }

    /// The domain of a name: the square of an even distribution favours low numbers.
    fn domain_of(self, number: usize, rng: &mut Rng) -> usize {
        if number < LISTED.min(self.count / 4) {
            return LISTED_DOMAIN;
        }
        let domains = (self.count / 20).max(16);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "numbers of domains are small, and below the number of all"
        )]
        let domain = (rng.f64().powi(3) * domains as f64) as usize;
        domain + LISTED_DOMAIN + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_different_and_the_same_in_every_run() {
        let names = Names { count: 20_000 };
        let all: HashSet<_> = (0..names.count)
            .map(|number| names.name(number).to_lowercase())
            .collect();
        assert_eq!(all.len(), names.count);
        assert_eq!(names.name(77), names.name(77));
    }

    #[test]
    fn another_spelling_is_the_same_name() {
        let names = Names { count: 1_000 };
        let mut rng = Rng::with_seed(1);
        for number in 0..100 {
            let other = names.spelled_otherwise(number, &mut rng);
            assert_eq!(other.to_lowercase(), names.name(number).to_lowercase());
        }
    }

    #[test]
    fn one_domain_has_as_many_names_as_are_listed() {
        let names = Names { count: 50_000 };
        let domain = format!("@{}", Names::domain(LISTED_DOMAIN));
        let listed = (0..names.count).filter(|number| names.name(*number).ends_with(&domain));
        assert_eq!(listed.count(), LISTED);
    }
}

//! What the tests of races have in common.

use schedules::Subject;

/// The subject of that name.
pub fn subject(subjects: &'static [Subject], name: &str) -> &'static Subject {
    subjects
        .iter()
        .find(|subject| subject.name == name)
        .expect("a subject of that name")
}

/// A test for each race: its subject, under so many schedules. No subject is left out.
macro_rules! races {
    ($schedules:expr, $subjects:expr, $($test:ident = $name:literal;)*) => {
        $(#[test]
        fn $test() {
            schedules::check(support::subject($subjects, $name), $schedules);
        })*

        #[test]
        fn every_race_has_a_test() {
            let tested = [$($name),*];
            for subject in $subjects {
                assert!(tested.contains(&subject.name), "no test: {}", subject.name);
            }
        }
    };
}

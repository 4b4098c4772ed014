//! The code and the output of `GUIDE.md`: what the page shows is what is compiled and run here.

extern crate nt_sim as wdk_sys;

/// The code of the page keeps to what a reader has to know.
macro_rules! pages {
    ($($name:ident)*) => {
        $(#[allow(
            clippy::cast_possible_truncation,
            clippy::missing_const_for_fn,
            clippy::wildcard_imports,
            dead_code,
            missing_docs,
            reason = "sizes fit, the names are those of netioddk.h, and what is public is explained on the page"
        )]
        mod $name;)*
    };
}
pages!(fixed provider run);

const PAGE: &str = include_str!("../../GUIDE.md");
const PROVIDER: &str = include_str!("provider.rs");
const FIXED: &str = include_str!("fixed.rs");
const RUN: &str = include_str!("run.rs");

/// The blocks of the page that are marked with this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let parts = PAGE.split(&begin).skip(1);
    parts.map(|part| part.split("```").next().unwrap()).collect()
}

#[test]
fn the_page_shows_the_code_that_is_compiled() {
    assert_eq!(blocks("rust"), [PROVIDER, RUN]);
}

#[test]
fn the_page_shows_what_the_verifier_prints() {
    let report = run::run(&provider::characteristics(&run::NPI, &run::MODULE));
    let [shown] = blocks("text")[..] else {
        panic!("there is one report on the page")
    };
    // What the last line names is checked under AddressSanitizer.
    let unchecked = |line: &&str| !(cfg!(address_sanitizer) && line.contains("AddressSanitizer"));
    let expected: Vec<&str> = shown.lines().filter(unchecked).collect();
    assert_eq!(report.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_page_shows_the_fix_and_nothing_is_found_then() {
    let [fix] = blocks("diff")[..] else {
        panic!("there is one fix on the page")
    };
    // What stands there before and after, without the marks at the beginning of lines.
    let without = |mark: char| -> String {
        let lines = fix.lines().filter(|line| !line.starts_with(mark));
        lines.flat_map(|line| [&line[1..], "\n"]).collect()
    };
    let (before, after) = (without('+'), without('-'));
    assert!(PROVIDER.contains(&before), "not in the provider:\n{before}");
    assert_eq!(PROVIDER.replace(&before, &after), FIXED);
    run::run(&fixed::characteristics(&run::NPI, &run::MODULE)).assert_clean();
}

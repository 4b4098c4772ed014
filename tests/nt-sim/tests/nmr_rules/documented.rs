//! The list of the rules: each has a test, and `RULES.md` says what the table says.

use std::{fmt::Write, fs, path::Path};

use nmr_model::{Class, Rule};

const SOURCES: [&str; 5] = [
    include_str!("registration.rs"),
    include_str!("attach.rs"),
    include_str!("calls.rs"),
    include_str!("detach.rs"),
    include_str!("unload.rs"),
];

/// Those that need `AddressSanitizer`.
const SANITIZED: &str = include_str!("sanitized.rs");

/// The tests of a rule in some sources, by their names.
fn tests_of(rule: Rule, sources: &[&'static str]) -> Vec<&'static str> {
    let start = format!("fn rule_{:02}_", rule.number());
    let lines = sources.iter().flat_map(|source| source.lines());
    let names = lines.filter_map(|line| {
        let name = line.starts_with(&start).then(|| line.trim_start_matches("fn "))?;
        name.split('(').next()
    });
    names.collect()
}

fn document() -> String {
    let mut text = String::from(
        "# The rules of the NMR contract\n\
         \n\
         What the verifier of `nt-sim` knows about the contract of the Network Module Registrar; the table\n\
         is that of `nmr_model::Rule`, and a test keeps this page equal to it (write it anew by\n\
         `UPDATE_RULES=1 cargo test -p nt-sim --test nmr_rules`).\n\
         \n\
         **Severity**: an *error* is undefined behaviour, a crash or a hang on a real system; a *warning* is\n\
         against the documentation and often survives; a *lint* is tolerated. **Class**: *simulator*: every\n\
         breach that happens is seen; *probe*: seen for an NPI that gives the machine its shadow dispatch\n\
         tables (`MachineBuilder::probe`); *sanitizer*: the simulator sees writes to dead memory, reads only\n\
         AddressSanitizer (`cargo xtask sanitize address`), in whose build freed memory is not kept back;\n\
         *advisory*: nobody can be certain, so facts are reported that hint at it.\n\
         Lints and advisory rules are listed as advice and do not fail a run; a report says which rules were\n\
         not checked. That a wait stands in a call between modules (rule 43) takes a probe as well.\n\
         \n\
         | rule | severity | class | what is demanded | what is legal instead |\n\
         |---|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            rule.number(),
            rule.severity(),
            rule.class(),
            rule.title(),
            rule.instead()
        )
        .unwrap();
    }
    text.push_str("\n## Tests\n\nIn `tests/nmr_rules`, each with a module that breaks the rule:\n\n");
    for rule in Rule::ALL {
        for test in tests_of(*rule, &SOURCES) {
            writeln!(text, "- `{test}`").unwrap();
        }
    }
    text.push_str("\nIn the same folder, in a build for AddressSanitizer, which is what reports them:\n\n");
    for rule in Rule::ALL {
        for test in tests_of(*rule, &[SANITIZED]) {
            writeln!(text, "- `{test}`").unwrap();
        }
    }
    text
}

#[test]
fn every_rule_has_a_test() {
    let without: Vec<u8> = Rule::ALL
        .iter()
        .filter(|rule| tests_of(**rule, &SOURCES).is_empty())
        .map(|rule| rule.number())
        .collect();
    assert!(without.is_empty(), "rules without a test: {without:?}");
    for rule in Rule::ALL {
        let sanitized = rule.class() != Class::AddressSanitizer || !tests_of(*rule, &[SANITIZED]).is_empty();
        assert!(
            sanitized,
            "rule {} has no test for AddressSanitizer",
            rule.number()
        );
    }
}

#[test]
fn the_numbers_are_1_to_52() {
    let numbers: Vec<u8> = Rule::ALL.iter().map(|rule| rule.number()).collect();
    assert_eq!(numbers, (1..=52).collect::<Vec<u8>>());
}

#[test]
fn the_page_of_the_rules_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RULES.md");
    let expected = document();
    if std::env::var_os("UPDATE_RULES").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let page = fs::read_to_string(&path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    assert!(
        page == expected,
        "RULES.md is not up to date; UPDATE_RULES=1 writes it"
    );
}

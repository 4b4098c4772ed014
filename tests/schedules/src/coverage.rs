//! Which transitions of the registrar's machines were taken, against those that are legal.

use std::fmt;

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use nmr_model::transitions::{Stage, Taken, Transitions};

/// What is missing for complete coverage, and what should not be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Legal transitions that were never taken.
    pub missing: Vec<String>,
    /// Transitions that were taken and are not legal.
    pub illegal: Vec<String>,
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, illegal } = self;
        write!(
            f,
            "never taken: [{}]; illegal: [{}]",
            missing.join(", "),
            illegal.join(", ")
        )
    }
}

/// All transitions as a table, and what is wrong with them.
#[must_use]
pub fn table(transitions: &Transitions) -> (Table, Gaps) {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["machine", "from", "to", "taken", "legal"]);
    let mut gaps = Gaps::default();
    rows("module", &transitions.modules, &mut table, &mut gaps);
    rows("binding", &transitions.bindings, &mut table, &mut gaps);
    rows("side", &transitions.sides, &mut table, &mut gaps);
    (table, gaps)
}

fn rows<S: Stage>(machine: &str, taken: &Taken<S>, table: &mut Table, gaps: &mut Gaps) {
    for (from, to, times, legal) in taken.coverage() {
        let name = format!("{machine} {from:?} to {to:?}");
        match (legal, times) {
            (true, 0) => gaps.missing.push(name),
            (false, _) => gaps.illegal.push(name),
            _ => {}
        }
        table.add_row([
            machine.to_owned(),
            format!("{from:?}"),
            format!("{to:?}"),
            times.to_string(),
            if legal { "yes" } else { "NO" }.to_owned(),
        ]);
    }
}

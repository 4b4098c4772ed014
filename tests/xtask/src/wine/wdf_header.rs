//! `wdf.h`, made from the table of the KMDF model.
//!
//! The types are written out by hand in `tests/wine/headers/wdf/types.h`; functions, their indices and prototypes
//! come from the table, so that wdk-sys's bindings and the simulator cannot disagree on them. Of the types the
//! header asserts sizes, offsets and values as the model has them.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use kmdf_model::table::{CONSTANTS, LAYOUTS};

use crate::files;
use crate::paths::Paths;
use crate::wine::imports::lines;

/// How many functions the table of KMDF 1.31 has.
pub const FUNCTION_COUNT: usize = 458;

struct Function<'a> {
    index: usize,
    name: &'a str,
    result: &'a str,
    parameters: &'a str,
}

/// The text of the header.
///
/// # Errors
/// When a table cannot be read or a line is not understood.
pub fn text(paths: &Paths) -> Result<String> {
    let model = files::read(&paths.repository.join("tests/nt-sim/kmdf-model/functions.tsv"))?;
    let more = files::read(&paths.sources.join("headers/wdf/wdk-functions.tsv"))?;
    header(&model, &more)
}

fn header(model: &str, more: &str) -> Result<String> {
    let mut functions = Vec::new();
    for line in lines(model).chain(lines(more)) {
        functions.push(parse(line)?);
    }
    functions.sort_by_key(|function| function.index);

    let mut text = String::from("#include \"types.h\"\n\ntypedef enum _WDFFUNCENUM {\n");
    for Function { index, name, .. } in &functions {
        writeln!(text, "    {name}TableIndex = {index},")?;
    }
    writeln!(
        text,
        "    WdfFunctionTableNumEntries = {FUNCTION_COUNT}\n}} WDFFUNCENUM;\n"
    )?;
    for Function {
        name,
        result,
        parameters,
        ..
    } in &functions
    {
        let mut list = String::from("PWDF_DRIVER_GLOBALS DriverGlobals");
        for parameter in parameters.split(',').filter(|parameter| !parameter.is_empty()) {
            let Some((name, of)) = parameter.split_once(':') else {
                bail!("a parameter of {name} has no type: {parameter}");
            };
            write!(list, ", {} {}", c_type(of), name.trim())?;
        }
        writeln!(
            text,
            "typedef {} (*PFN_{})({list});",
            c_type(result),
            name.to_uppercase()
        )?;
    }

    text.push('\n');
    // The parts of unions have names of bindgen's making, which C does not know.
    for (name, size, fields) in LAYOUTS.iter().filter(|(name, ..)| name.starts_with("WDF_")) {
        writeln!(
            text,
            "_Static_assert(sizeof({name}) == {size}, \"size of {name}\");"
        )?;
        for (field, offset) in *fields {
            writeln!(
                text,
                "_Static_assert(__builtin_offsetof({name}, {field}) == {offset}, \"{name}.{field}\");"
            )?;
        }
    }
    for (name, value) in CONSTANTS {
        writeln!(text, "_Static_assert((int){name} == {value}, \"{name}\");")?;
    }
    Ok(text)
}

fn parse(line: &str) -> Result<Function<'_>> {
    let columns = line.split('\t').collect::<Vec<_>>();
    let &[index, name, result, parameters] = columns.as_slice() else {
        bail!("not four columns: {line}");
    };
    Ok(Function {
        index: index.parse()?,
        name,
        result,
        parameters,
    })
}

/// A type as bindgen writes it, in C.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    let Some((access, target)) = rust.split_once(' ') else {
        return if rust == "usize" { "size_t" } else { rust }.to_owned();
    };
    let constant = if access == "*const" { "const " } else { "" };
    format!("{constant}{} *", c_type(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_become_prototypes_in_the_order_of_their_indices() {
        let text = header(
            "# comment\n7\tWdfB\tVOID\tQueue: WDFQUEUE, Name: *const UNICODE_STRING, Length: *mut usize\n",
            "3\tWdfA\t*mut VOID\t\n",
        )
        .unwrap();
        let wanted =
            "    WdfATableIndex = 3,\n    WdfBTableIndex = 7,\n    WdfFunctionTableNumEntries = 458\n";
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("typedef VOID * (*PFN_WDFA)(PWDF_DRIVER_GLOBALS DriverGlobals);"));
        let wanted = "typedef VOID (*PFN_WDFB)(PWDF_DRIVER_GLOBALS DriverGlobals, WDFQUEUE Queue, \
                      const UNICODE_STRING * Name, size_t * Length);";
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("_Static_assert(sizeof(WDF_DRIVER_CONFIG) == 32"));
        assert!(header("7\tWdfB\tVOID\n", "").is_err());
    }
}

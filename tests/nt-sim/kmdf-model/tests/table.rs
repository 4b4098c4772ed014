//! The list of functions against the table that is kept beside it.

use kmdf_model::table::FUNCTIONS;

/// `index name (parameters) -> result`, without spaces, for comparison.
fn squeezed(index: &str, name: &str, parameters: &str, result: &str) -> String {
    let result = if result == "VOID" {
        String::new()
    } else {
        format!("->{result}")
    };
    format!("{index} {name}({parameters}){result}").replace(' ', "")
}

#[test]
fn every_function_has_the_index_and_prototype_of_the_table() {
    let listed: Vec<String> = FUNCTIONS
        .iter()
        .map(|function| {
            format!("{} {}{}", function.index, function.name, function.prototype).replace([' ', '\n'], "")
        })
        .collect();
    let kept: Vec<String> = include_str!("../functions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match *line.split('\t').collect::<Vec<_>>() {
            [index, name, result, parameters] => squeezed(index, name, parameters, result),
            _ => panic!("not four columns: {line}"),
        })
        .collect();
    assert_eq!(listed, kept);
}

#[test]
fn indices_ascend() {
    assert!(FUNCTIONS.is_sorted_by(|one, next| one.index < next.index));
}

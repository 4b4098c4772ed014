//! What can be checked of the scripts and the workflow for Windows where there is no PowerShell and no runner: that they
//! parse, and that what they name is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use toml::Table;
use tree_sitter::{Node, Parser, Tree};
use yaml_rust2::{Yaml, YamlLoader};

/// Commands of Windows PowerShell 5.1 that the scripts call; a new one is looked up before it is added.
const WINDOWS: &str = "
    Add-Type Confirm-SecureBootUEFI ConvertFrom-Json ConvertTo-Json Copy-Item Export-ModuleMember ForEach-Object
    Format-List Get-ChildItem Get-CimInstance Get-Content Get-Date Get-FileHash Get-Item Get-ItemProperty
    Get-Process Get-ScheduledTask Get-WinEvent Import-Certificate Import-Csv Import-Module Join-Path Move-Item
    New-Item New-Object New-ScheduledTaskAction New-ScheduledTaskPrincipal New-ScheduledTaskSettingsSet
    New-ScheduledTaskTrigger Out-File Read-Host Register-ScheduledTask Remove-Item Remove-ItemProperty
    Select-Object Set-Content Set-ItemProperty Set-StrictMode Sort-Object Split-Path Start-Sleep Start-Transcript
    Stop-Transcript Test-Path Unregister-ScheduledTask Where-Object Write-Host Write-Warning
";
/// Tasks of wdk-build's makefile that are called by name.
const WDK_TASKS: [&str; 3] = ["build", "default", "infverif"];
const WORKFLOW: &str = ".github/workflows/windows.yml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The scripts of `tests/windows` by name.
fn scripts() -> BTreeMap<String, String> {
    let folder = fs::read_dir(root().join("tests/windows")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "ps1" || extension == "psm1")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let script = text(&format!("tests/windows/{name}"));
            (name, script)
        })
        .collect()
}

/// Parses a script.
#[track_caller]
fn parsed(name: &str, script: &str) -> Tree {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_powershell::LANGUAGE.into())
        .unwrap();
    let tree = parser.parse(script, None).unwrap();
    let mut fault = None;
    visit(tree.root_node(), &mut |node| {
        if fault.is_none() && (node.is_error() || node.is_missing()) {
            fault = Some(node.start_position());
        }
    });
    if let Some(fault) = fault {
        let line = script.lines().nth(fault.row).unwrap_or_default();
        panic!("{name}:{}: this is no PowerShell: {line}", fault.row + 1);
    }
    tree
}

fn visit<'a>(node: Node<'a>, with: &mut impl FnMut(Node<'a>)) {
    with(node);
    for child in node.children(&mut node.walk()) {
        visit(child, with);
    }
}

/// The text of all nodes of a kind.
fn all(tree: &Tree, script: &str, kind: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(tree.root_node(), &mut |node| {
        if node.kind() == kind {
            found.insert(script[node.byte_range()].to_owned());
        }
    });
    found
}

/// What stands in quotes between `start` and the end of the statement, a closing bracket.
fn quoted_after<'a>(script: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    let lists = script.split(start).skip(1);
    lists.flat_map(|rest| {
        let list = rest.split(')').next().unwrap_or_default();
        list.split('\'').skip(1).step_by(2)
    })
}

#[test]
fn every_command_of_the_scripts_is_defined() {
    let windows: BTreeSet<&str> = WINDOWS.split_whitespace().collect();
    let scripts = scripts();
    let trees: BTreeMap<&str, Tree> = scripts
        .iter()
        .map(|(name, script)| (name.as_str(), parsed(name, script)))
        .collect();
    let defined = |name: &str| all(&trees[name], &scripts[name], "function_name");
    for (name, script) in &scripts {
        let mut known = defined(name);
        for exported in quoted_after(script, "Export-ModuleMember -Function @(") {
            assert!(
                known.contains(exported),
                "{name} exports {exported}, which is not there"
            );
        }
        for module in quoted_after(script, "Import-Module (Join-Path $PSScriptRoot") {
            let module = scripts
                .get(module)
                .unwrap_or_else(|| panic!("{name}: there is no {module}"));
            known.extend(quoted_after(module, "Export-ModuleMember -Function @(").map(str::to_owned));
        }
        for command in all(&trees[name.as_str()], script, "command_name") {
            // Programs have no hyphen in the middle, or are called by a variable.
            let is_cmdlet = command.contains('-')
                && command
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || letter == '-');
            assert!(
                !is_cmdlet || known.contains(&command) || windows.contains(&command.as_str()),
                "{name}: nothing defines {command}"
            );
        }
    }
}

/// The tasks of the makefile at the root, and those of wdk-build's that are called by name.
fn tasks() -> BTreeSet<String> {
    let makefile: Table = text("Makefile.toml").parse().unwrap();
    let own = makefile["tasks"].as_table().unwrap().keys().cloned();
    own.chain(WDK_TASKS.map(str::to_owned)).collect()
}

/// The tasks that a text says to run.
fn named_tasks(text: &str) -> impl Iterator<Item = &str> {
    text.split("cargo make ").skip(1).filter_map(|rest| {
        let task = rest
            .split(|letter: char| !letter.is_ascii_lowercase() && letter != '-')
            .next()?;
        (!task.is_empty() && !task.starts_with('-')).then_some(task)
    })
}

#[test]
fn every_task_that_is_named_is_there() {
    let tasks = tasks();
    for file in [WORKFLOW, "README.md", "tests/windows/README.md", "Makefile.toml"] {
        for task in named_tasks(&text(file)) {
            assert!(tasks.contains(task), "{file}: there is no task {task}");
        }
    }
    let makefile: Table = text("Makefile.toml").parse().unwrap();
    for (name, task) in makefile["tasks"].as_table().unwrap() {
        let dependencies = task.get("dependencies").and_then(|list| list.as_array());
        for dependency in dependencies.into_iter().flatten() {
            let dependency = dependency.as_str().unwrap();
            assert!(
                tasks.contains(dependency),
                "{name} depends on {dependency}, which is not there"
            );
        }
    }
}

#[test]
fn the_workflow_is_one_and_what_it_names_is_there() {
    let documents = YamlLoader::load_from_str(&text(WORKFLOW)).unwrap();
    let [workflow] = documents.as_slice() else {
        panic!("not one document");
    };
    // It builds what others send.
    assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"));
    for (job, body) in workflow["jobs"].as_hash().unwrap() {
        let job = job.as_str().unwrap();
        assert!(
            body["runs-on"]
                .as_str()
                .is_some_and(|on| on.starts_with("windows-")),
            "{job}"
        );
        assert!(
            body["timeout-minutes"].as_i64().is_some(),
            "{job} may run for ever"
        );
        let matrix = body["strategy"]["matrix"]["include"].as_vec();
        for step in body["steps"].as_vec().unwrap() {
            let name = step["name"].as_str().or_else(|| step["uses"].as_str());
            let name = name.unwrap_or_else(|| panic!("{job}: a step has no name"));
            let (run, uses) = (step["run"].as_str(), step["uses"].as_str());
            assert!(
                run.is_some() != uses.is_some(),
                "{job}: {name} runs something, or uses an action"
            );
            assert!(
                uses.is_none_or(|uses| uses.contains('@')),
                "{job}: {name} has no version"
            );
            for reference in references(step) {
                let Some(key) = reference.strip_prefix("matrix.") else {
                    continue;
                };
                let defined = matrix.is_some_and(|all| all.iter().all(|one| one[key].as_str().is_some()));
                assert!(defined, "{job}: {name}: {reference} is not defined");
            }
            let Some(run) = run else { continue };
            let run = without_references(run);
            if step["shell"]
                .as_str()
                .is_some_and(|shell| shell == "pwsh" || shell == "powershell")
            {
                parsed(&format!("{job}: {name}"), &run);
            }
            for path in paths(&run) {
                assert!(root().join(&path).exists(), "{job}: {name}: there is no {path}");
            }
        }
    }
}

/// The paths of the repository that a script names: a driver's folder, or something in `tests`, without wildcards.
fn paths(script: &str) -> impl Iterator<Item = String> {
    let words = script.split(|letter: char| letter.is_whitespace() || "'\",;()".contains(letter));
    words
        .filter(|word| word.ends_with("-driver") || word.starts_with("tests"))
        .map(|word| word.replace('\\', "/").trim_end_matches("/*").to_owned())
}

/// What stands in `${{ }}`, anywhere in a value.
fn references(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::String(text) => text
            .split("${{")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned()))
            .collect(),
        Yaml::Array(values) => values.iter().flat_map(references).collect(),
        Yaml::Hash(values) => values.values().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// A script as it is when all references have a value.
fn without_references(script: &str) -> String {
    let mut parts = script.split("${{");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str("value");
        whole.push_str(part.split_once("}}").map_or(part, |(_, rest)| rest));
    }
    whole
}

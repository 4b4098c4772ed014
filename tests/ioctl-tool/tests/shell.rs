//! The shell: many commands on one machine.

mod common;

use common::Machine;

#[test]
fn commands_run_one_after_the_other_and_an_error_ends_none_but_itself() {
    let machine = Machine::new();
    let script = b"# a comment\n\
        register alice@example.com --addr 192.0.2.7:5060/tcp --comment 'first of her name'\n\
        \n\
        lookup nobody@example.com\n\
        frobnicate\n\
        lookup 'alice@example.com\n\
        shell\n\
        --embedded elsewhere lookup alice@example.com\n\
        --as user lookup alice@example.com\n\
        lookup alice@example.com\n\
        exit\n\
        delete alice@example.com --yes\n";
    let run = machine.run_with_input(&["shell"], script);
    run.expect(1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].starts_with("registered alice@example.com at"),
        "{run:#?}"
    );
    assert_eq!(lines[1], "alice@example.com");
    assert!(run.stdout.contains("first of her name"), "{run:#?}");
    for error in [
        "WSASERVICE_NOT_FOUND 10108",
        "unrecognized subcommand 'frobnicate'",
        "a quote is not closed",
        "this is the shell already",
        "the machine, and who to be on it, are chosen when the shell is started",
    ] {
        assert!(run.stderr.contains(error), "{error}: {run:#?}");
    }
    // Nothing after the end was done, and everything before it is on the disk.
    machine.run(&["lookup", "alice@example.com"]).expect(0);
}

#[test]
fn the_machine_of_a_shell_is_one_and_keeps_its_counters_from_command_to_command() {
    let machine = Machine::new();
    let script = b"lookup nobody@example.com\nstatistics --driver client --no-legend\n";
    let run = machine.run_with_input(&["shell"], script);
    run.expect(1);
    assert!(
        run.stdout
            .lines()
            .any(|line| line.contains("lookup") && line.contains("WSASERVICE_NOT_FOUND")),
        "{run:#?}"
    );
}

#[test]
fn a_shell_without_failures_ends_well_and_speaks_json_if_asked_to() {
    let machine = Machine::new();
    let script = b"providers\nexplain alice@example.com\nhelp\nlookup --help\n";
    let run = machine.run_with_input(&["--json", "shell"], script);
    run.expect(0);
    assert!(run.stdout.starts_with("{\n  \"providers\""), "{run:#?}");
    assert!(run.stdout.contains("\"chain\""), "{run:#?}");
    assert!(run.stdout.contains("Example: nsemail lookup"), "help: {run:#?}");
    machine
        .run_with_input(&["--as", "user", "shell"], b"list\n")
        .expect(3);
    machine.run_with_input(&["shell"], b"").expect(0);
}

//! Commands of administration.

mod common;

use common::Machine;
use serde_json::json;

/// The provider that is primary for `example.com`, secondary for `example.net`, and takes all else.
const DEFAULT: &str = "{7A90D3C4-15E6-4B2F-8C6A-F14D0B92375D}";
/// The provider that is primary for `example.net` and secondary for `example.com`.
const EXAMPLE: &str = "{C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}";

#[test]
fn explain_prints_the_chain_and_why_each_provider_is_in_it_or_not() {
    let machine = Machine::new();
    let told = machine.run(&["explain", "alice@example.net"]);
    told.expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{told:?}");
    assert!(
        lines[1].starts_with('1') && lines[1].contains(EXAMPLE),
        "{told:?}"
    );
    assert!(lines[1].ends_with("primary for the domain"), "{told:?}");
    assert!(
        lines[2].starts_with('2') && lines[2].contains(DEFAULT),
        "{told:?}"
    );
    assert!(lines[2].ends_with("secondary for the domain"), "{told:?}");

    let told = machine.json(&["explain", "alice@elsewhere.example"]);
    assert_eq!(told["chain"][0]["guid"], json!(DEFAULT));
    assert_eq!(told["chain"][0]["role"], json!("wildcard"));
    assert_eq!(told["others"][0]["guid"], json!(EXAMPLE));
    assert_eq!(told["others"][0]["role"], json!("no-claim"));
    assert_eq!(told["others"][0]["attached"], json!(true));
    let counters = machine.json(&["statistics", "--driver", "provider"]);
    assert!(!counters.to_string().contains("lookup-begin"), "nobody was asked");

    machine
        .run(&["explain", "alice"])
        .expect_error(1, "WSASERVICE_NOT_FOUND 10108 (0x277C): no '@'");
    machine
        .run(&["explain", "a b@example.com"])
        .expect_error(2, "WSAEINVAL");
}

fn order(machine: &Machine) -> Vec<String> {
    let providers = machine.json(&["providers"]);
    let guids = providers["providers"].as_array().unwrap().iter();
    guids
        .map(|provider| provider["guid"].as_str().unwrap().to_owned())
        .collect()
}

fn chain(machine: &Machine, name: &str) -> Vec<String> {
    let told = machine.json(&["explain", name]);
    let chain = told["chain"].as_array().unwrap().iter();
    chain
        .map(|provider| provider["guid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_provider_that_is_disabled_stays_so_until_it_is_enabled() {
    let machine = Machine::new();
    machine
        .run(&["register", "alice@example.net", "--addr", "192.0.2.7:25"])
        .expect(0);
    let done = machine.run(&["disable", EXAMPLE]);
    done.expect(0);
    assert_eq!(done.stdout, format!("disabled {EXAMPLE}\n"));
    assert_eq!(chain(&machine, "alice@example.net"), [DEFAULT]);
    machine
        .run(&["lookup", "alice@example.net"])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
    machine
        .run(&["lookup", "alice@example.net", "--provider", EXAMPLE])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
    let told = machine.json(&["explain", "alice@example.net"]);
    assert_eq!(told["others"][0]["role"], json!("disabled"));
    assert_eq!(machine.json(&["enable", EXAMPLE])["operation"], json!("enabled"));
    assert_eq!(machine.addresses("alice@example.net"), ["192.0.2.7:25/tcp"]);
}

#[test]
fn an_order_lists_every_provider_once_and_stays() {
    let machine = Machine::new();
    let before = order(&machine);
    let after: Vec<&str> = before.iter().rev().map(String::as_str).collect();
    let done = machine.run(&[&["order"][..], &after].concat());
    done.expect(0);
    assert_eq!(done.stdout, "ordered 2 providers\n");
    assert_eq!(order(&machine), after);
    let unknown = "{00000000-0000-0000-0000-000000000001}";
    for wrong in [
        &[DEFAULT][..],
        &[DEFAULT, DEFAULT],
        &[DEFAULT, unknown],
        &[DEFAULT, EXAMPLE, unknown],
    ] {
        machine
            .run(&[&["order"][..], wrong].concat())
            .expect_error(2, "exactly once");
    }
    machine.run(&["order"]).expect(2);
    machine
        .run(&["disable", unknown])
        .expect_error(2, "is not in the catalogue");
    machine.run(&["enable", "nonsense"]).expect(2);
    assert_eq!(order(&machine), after);
}

#[test]
fn a_user_changes_nothing_of_the_catalogue() {
    let machine = Machine::new();
    let before = machine.json(&["providers"]);
    for command in [
        &["disable", DEFAULT][..],
        &["enable", DEFAULT],
        &["order", EXAMPLE, DEFAULT],
    ] {
        machine
            .run(&[&["--as", "user"][..], command].concat())
            .expect_error(3, "WSAEACCES");
    }
    machine
        .run(&["--as", "user", "explain", "alice@example.com"])
        .expect(0);
    assert_eq!(machine.json(&["providers"]), before);
}

const THIRD: &str = "{0F9A2C44-6E0B-4D1B-9C55-2B8C1E7A6F03}";

#[test]
fn a_provider_is_installed_and_uninstalled_and_its_names_come_back_unless_they_were_deleted() {
    let machine = Machine::new();
    let install = [
        "install",
        "--name",
        "Third",
        "--guid",
        THIRD,
        "--domain",
        "example.org:primary",
    ];
    let done = machine.run(&install);
    done.expect(0);
    assert_eq!(done.stdout, format!("installed {THIRD} Third\n"));
    machine
        .run(&["register", "frank@example.org", "--addr", "192.0.2.7:25"])
        .expect(0);
    assert_eq!(chain(&machine, "frank@example.org"), [THIRD, DEFAULT]);
    machine
        .run(&install)
        .expect_error(5, "WSANO_RECOVERY 11003 (0x2AFB): {0F9A2C44");

    machine.run(&["uninstall", THIRD]).expect_error(2, "--yes");
    let uninstall = ["uninstall", THIRD, "--yes"];
    let done = machine.run(&uninstall);
    done.expect(0);
    assert_eq!(done.stdout, format!("uninstalled {THIRD}\n"));
    assert!(!order(&machine).contains(&THIRD.to_owned()));
    machine
        .run(&["lookup", "frank@example.org"])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
    machine.run(&uninstall).expect_error(2, "is not installed");

    machine.run(&install).expect(0);
    assert_eq!(machine.addresses("frank@example.org"), ["192.0.2.7:25/tcp"]);
    machine
        .run(&["uninstall", THIRD, "--delete-names", "--yes"])
        .expect(0);
    machine.run(&install).expect(0);
    machine
        .run(&["lookup", "frank@example.org"])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
}

#[test]
fn what_is_wrong_with_an_installation_is_told_and_nothing_is_installed() {
    let machine = Machine::new();
    let before = order(&machine);
    for (arguments, exit_code, message) in [
        (&["--name", "x"][..], 2, "--domain"),
        (&["--domain", "example.org"], 2, "--name"),
        (&["--name", "", "--domain", "example.org"], 2, "WSAEINVAL"),
        (&["--name", "x", "--domain", "exa mple.org"], 2, "WSAEINVAL"),
        (
            &["--name", "x", "--domain", "a.org", "--domain", "A.ORG"],
            2,
            "WSAEINVAL",
        ),
        (&["--name", "x", "--blob", "no-such-file"], 5, "no-such-file"),
        (
            &[
                "--name",
                "x",
                "--wildcard",
                "--guid",
                "{00000000-0000-0000-0000-000000000000}",
            ],
            2,
            "WSAEINVAL",
        ),
        (
            &["--name", "x", "--wildcard", "--guid", DEFAULT],
            5,
            "WSANO_RECOVERY",
        ),
    ] {
        let run = machine.run(&[&["install"], arguments].concat());
        run.expect(exit_code);
        assert!(run.stderr.contains(message), "{message}: {run:?}");
    }
    machine
        .run(&["--as", "user", "install", "--name", "x", "--wildcard"])
        .expect_error(3, "WSAEACCES");
    machine
        .run(&["--as", "user", "uninstall", DEFAULT, "--yes"])
        .expect_error(3, "WSAEACCES");
    assert_eq!(order(&machine), before);
}

fn listed(machine: &Machine, arguments: &[&str]) -> Vec<String> {
    let document = machine.json(&[&["list"], arguments].concat());
    let records = document["records"].as_array().unwrap().iter();
    records
        .map(|record| record["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn list_shows_what_is_stored_by_domain_and_state() {
    let machine = Machine::new();
    for name in [
        "carol@example.com",
        "Bob@Example.COM.",
        "alice@mail.example.com",
        "dave@example.net",
    ] {
        machine
            .run(&["register", name, "--addr", "192.0.2.7:25"])
            .expect(0);
    }
    machine.run(&["deregister", "carol@example.com"]).expect(0);
    let all = listed(&machine, &[]);
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(
        listed(&machine, &["--domain", "EXAMPLE.com."]),
        ["Bob@Example.COM.", "carol@example.com"]
    );
    assert_eq!(
        listed(&machine, &["--domain", "example.com", "--state", "deregistered"]),
        ["carol@example.com"]
    );
    assert_eq!(listed(&machine, &["--state", "registered"]).len(), 3);
    assert_eq!(listed(&machine, &["--provider", EXAMPLE]), ["dave@example.net"]);
    assert_eq!(listed(&machine, &["--domain", "nowhere.example"]), [""; 0]);
    let text = machine.run(&["list", "--state", "deregistered"]);
    text.expect(0);
    assert!(
        text.stdout
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("carol@example.com"),
        "{text:?}"
    );
    machine
        .run(&["list", "--domain", "exa mple.com"])
        .expect_error(2, "WSAEINVAL");
    machine
        .run(&["list", "--provider", THIRD])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
    machine
        .run(&["--as", "user", "list"])
        .expect_error(3, "WSAEACCES");
}

#[test]
fn statistics_are_shown_before_they_are_reset_and_only_by_those_who_may() {
    let machine = Machine::new();
    let shown = machine.json(&["statistics", "--reset"]);
    assert!(shown["counters"].as_array().unwrap().len() > 5);
    machine
        .run(&["--as", "user", "statistics", "--driver", "client", "--reset"])
        .expect(3);
}

#[test]
fn sessions_shows_what_is_open_at_both_drivers() {
    let machine = Machine::new();
    let open = machine.json(&["sessions"]);
    let open = open["sessions"].as_array().unwrap();
    let of_driver = |driver: &str| open.iter().filter(|entry| entry["driver"] == driver).count();
    assert_eq!(
        (of_driver("client"), of_driver("provider")),
        (1, 2),
        "its own handle, two hosted providers"
    );
    let text = machine.run(&["sessions", "--driver", "client"]);
    text.expect(0);
    assert!(
        text.stdout.lines().nth(1).unwrap().starts_with("client"),
        "{text:?}"
    );
}

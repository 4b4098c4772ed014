//! The tool as people and scripts use it: what it prints, where, and its exit codes.

mod common;

use common::{Machine, nsemail};
use serde_json::Value;

#[test]
fn a_name_registered_by_one_run_is_found_by_the_next() {
    let machine = Machine::new();
    let registered = machine.run(&[
        "register",
        "alice@example.com",
        "--addr",
        "192.0.2.7:5060/tcp",
        "--addr",
        "[2001:db8::7]:5060/udp",
        "--comment",
        "first of her name",
    ]);
    registered.expect(0);
    assert_eq!(registered.stdout.lines().count(), 1, "one line of summary");
    assert!(
        registered
            .stdout
            .starts_with("registered alice@example.com at {7A90D3C4")
    );
    assert!(
        registered
            .stdout
            .ends_with(": 2 addresses added, 0 addresses removed\n")
    );

    let found = machine.run(&["lookup", "ALICE@example.com."]);
    found.expect(0);
    let lines: Vec<&str> = found.stdout.lines().map(str::trim).collect();
    assert_eq!(lines[0], "alice@example.com", "the name as it was registered");
    assert_eq!(lines[1], "Address:  192.0.2.7:5060/tcp");
    assert_eq!(lines[2], "[2001:db8::7]:5060/udp");
    assert_eq!(lines[3], "Comment:  first of her name");
    assert!(lines[4].ends_with("Default e-mail names (primary)"));
}

#[test]
fn every_operation_has_its_effect() {
    let machine = Machine::new();
    let name = "bob@example.com";
    machine
        .run(&["register", name, "--addr", "192.0.2.1:1/tcp"])
        .expect(0);
    machine
        .run(&["register", name, "--addr", "192.0.2.2:2/tcp", "--multiple"])
        .expect(0);
    assert_eq!(machine.addresses(name), ["192.0.2.1:1/tcp", "192.0.2.2:2/tcp"]);
    machine
        .run(&["deregister", name, "--addr", "192.0.2.1:1/tcp", "--multiple"])
        .expect(0);
    assert_eq!(machine.addresses(name), ["192.0.2.2:2/tcp"]);
    machine
        .run(&["register", name, "--addr", "192.0.2.3:3/tcp"])
        .expect(0);
    assert_eq!(machine.addresses(name), ["192.0.2.3:3/tcp"], "overwritten");
    machine.run(&["deregister", name]).expect(0);
    machine
        .run(&["lookup", name])
        .expect_error(1, "WSANO_DATA 11004 (0x2AFC)");
    machine.run(&["delete", name, "--yes"]).expect(0);
    machine
        .run(&["lookup", name])
        .expect_error(1, "WSASERVICE_NOT_FOUND 10108 (0x277C): no such name");
    machine
        .run(&["delete", name, "--yes"])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
}

#[test]
fn delete_asks_and_does_nothing_if_nobody_can_answer() {
    let machine = Machine::new();
    machine.run(&["register", "carol@example.com"]).expect(0);
    machine
        .run(&["delete", "carol@example.com"])
        .expect_error(2, "--yes");
    machine.run(&["lookup", "carol@example.com"]).expect(0);
}

#[test]
fn each_service_of_a_name_is_an_object_of_its_own() {
    let machine = Machine::new();
    let name = "erin@example.com";
    machine
        .run(&[
            "register",
            name,
            "--addr",
            "192.0.2.1:5060/tcp",
            "--service",
            "sip",
        ])
        .expect(0);
    machine
        .run(&[
            "register",
            name,
            "--addr",
            "192.0.2.1:25/tcp",
            "--service",
            "smtp",
        ])
        .expect(0);
    machine.run(&["lookup", name]).expect_error(1, "WSA");
    let sip = machine.run(&["lookup", name, "--service", "SIP"]);
    sip.expect(0);
    assert!(sip.stdout.contains("192.0.2.1:5060/tcp") && sip.stdout.contains("Service:  sip"));
    let deep = machine.json(&["lookup", name, "--deep"]);
    assert_eq!(deep["results"][0]["records"].as_array().unwrap().len(), 2);
}

#[test]
fn wrong_arguments_are_usage_errors_and_change_nothing() {
    let machine = Machine::new();
    for name in [
        "alice@",
        "@example.com",
        "a b@example.com",
        "alice@example..com",
        "\"open@example.com",
    ] {
        machine
            .run(&["register", name])
            .expect_error(2, "WSAEINVAL 10022 (0x2726): ");
        machine
            .run(&["lookup", name])
            .expect_error(2, "WSAEINVAL 10022 (0x2726): ");
    }
    machine
        .run(&["register", "example.com"])
        .expect_error(2, "no '@' in the address");
    machine
        .run(&["lookup", "example.com"])
        .expect_error(1, "WSASERVICE_NOT_FOUND 10108 (0x277C): no '@'");
    for address in [
        "192.0.2.7",
        "192.0.2.7:70000/tcp",
        "192.0.2.7:1/carrier-pigeon",
        "2001:db8::7:1/tcp",
    ] {
        machine
            .run(&["register", "alice@example.com", "--addr", address])
            .expect_error(2, address);
    }
    machine
        .run(&["register", "alice@example.com", "--provider", "nonsense"])
        .expect(2);
    machine.run(&["lookup"]).expect(2);
    machine.run(&["no-such-command"]).expect(2);
    machine
        .run(&["register", "alice@example.com", "--blob", "no-such-file"])
        .expect_error(5, "no-such-file");
    assert_eq!(
        machine.run(&["export", "--no-legend"]).stdout.lines().count(),
        1,
        "only the header line"
    );
}

#[test]
fn who_may_not_is_told_so() {
    let machine = Machine::new();
    machine
        .run(&["register", "alice@example.com", "--addr", "192.0.2.7:5060/tcp"])
        .expect(0);
    let denied = "WSAEACCES 10013 (0x271D): access denied";
    machine
        .run(&["--as", "user", "register", "mallory@example.com"])
        .expect_error(3, denied);
    machine
        .run(&["--as", "user", "delete", "alice@example.com", "--yes"])
        .expect_error(3, denied);
    machine.run(&["--as", "user", "export"]).expect_error(3, denied);
    machine
        .run(&["--as", "user", "lookup", "alice@example.com"])
        .expect(0);
    let statistics = machine.run(&["--as", "user", "statistics"]);
    statistics.expect(0);
    assert!(statistics.stdout.contains("client") && !statistics.stdout.contains("provider  "));
    assert!(statistics.stderr.contains("without the provider driver"));
}

#[test]
fn many_names_are_looked_up_at_once_and_each_is_answered() {
    let machine = Machine::new();
    machine
        .run(&["register", "alice@example.com", "--addr", "192.0.2.7:5060/tcp"])
        .expect(0);
    let answers = machine.run(&[
        "lookup",
        "alice@example.com",
        "nobody@example.com",
        "bad@@example.com",
    ]);
    answers.expect(2);
    assert!(answers.stdout.starts_with("alice@example.com\n"));
    assert!(
        answers
            .stderr
            .contains("nobody@example.com: WSASERVICE_NOT_FOUND")
    );
    assert!(answers.stderr.contains("bad@@example.com: WSAEINVAL"));
}

#[test]
fn record_by_record_and_in_one_call_answer_the_same() {
    let machine = Machine::new();
    machine.run(&["import", "../data/names.csv"]).expect(0);
    for name in [
        "many@example.com",
        "comment@example.com",
        "with.blob@example.com",
        "erin@example.com",
    ] {
        let arguments = ["lookup", name, "--deep"];
        let whole = machine.json(&arguments);
        let stepwise = machine.json(&[&arguments[..], &["--stepwise"]].concat());
        assert_eq!(whole, stepwise, "{name}");
    }
}

#[test]
fn only_what_the_flags_ask_for_is_shown() {
    let machine = Machine::new();
    machine
        .run(&[
            "register",
            "alice@example.com",
            "--addr",
            "192.0.2.7:5060/tcp",
            "--comment",
            "hi",
        ])
        .expect(0);
    let document = machine.json(&["lookup", "alice@example.com", "--flags", "0x80"]);
    let record = &document["results"][0]["records"][0];
    assert_eq!(record["comment"], "hi");
    assert_eq!(record["name"], "");
    assert_eq!(record["addresses"], Value::Array(Vec::new()));
}

#[test]
fn providers_are_listed_with_state_and_domains() {
    let machine = Machine::new();
    let list = machine.run(&["providers"]);
    list.expect(0);
    assert!(list.stdout.starts_with("#  PROVIDER"));
    assert!(
        !machine
            .run(&["providers", "--no-legend"])
            .stdout
            .contains("PROVIDER")
    );
    let verbose = machine.run(&["providers", "--verbose"]).stdout;
    assert!(verbose.contains("Name Space Provider Entry\n-----") && verbose.contains("Name Space:   37"));
    let document = machine.json(&["providers"]);
    let providers = document["providers"].as_array().unwrap();
    let default = providers
        .iter()
        .find(|provider| provider["wildcard"] == true)
        .unwrap();
    assert_eq!(default["guid"], "{7A90D3C4-15E6-4B2F-8C6A-F14D0B92375D}");
    assert_eq!(
        (&default["enabled"], &default["attached"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(default["domains"][0]["level"], "primary");
}

#[test]
fn a_registration_can_be_directed_to_a_provider() {
    let machine = Machine::new();
    let example_net = "{C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}";
    let directed = ["alice@example.com", "--provider", example_net];
    machine.run(&[&["register"][..], &directed].concat()).expect(0);
    let document = machine.json(&[&["lookup"][..], &directed].concat());
    assert_eq!(document["results"][0]["records"][0]["tier"], "directed");
    let unknown = "{00000000-0000-0000-0000-000000000001}";
    machine
        .run(&["lookup", "alice@example.com", "--provider", unknown])
        .expect_error(2, "WSAEINVAL 10022");
    // The primary provider does not know the name, so the secondary one is asked.
    let document = machine.json(&["lookup", "alice@example.com"]);
    assert_eq!(document["results"][0]["records"][0]["tier"], "secondary");
}

#[test]
fn statistics_and_events_of_both_drivers_are_shown() {
    let machine = Machine::new();
    let statistics = machine.json(&["statistics"]);
    let counters = statistics["counters"].as_array().unwrap();
    for driver in ["client", "provider"] {
        assert!(
            counters
                .iter()
                .any(|counter| counter["driver"] == driver && counter["counter"] == "bindings")
        );
    }
    let events = machine.json(&["events"]);
    let events = events["events"].as_array().unwrap();
    assert!(
        events
            .iter()
            .any(|event| event["driver"] == "client" && event["event"] == "attached")
    );
    assert!(
        events
            .iter()
            .any(|event| event["driver"] == "provider" && event["event"] == "loaded")
    );
    assert!(
        events
            .iter()
            .all(|event| event["time"].as_str().unwrap().ends_with('Z'))
    );
    assert!(machine.run(&["events"]).stdout.starts_with("TIME"));
    machine.run(&["statistics", "--driver", "client"]).expect(0);
}

#[test]
fn errors_are_documents_too_if_programs_ask() {
    let machine = Machine::new();
    let failed = machine.run(&["lookup", "nobody@example.com", "--json"]);
    failed.expect(1);
    let document: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(document["error"]["symbol"], "WSASERVICE_NOT_FOUND");
    assert_eq!(document["error"]["code"], 10108);
    assert_eq!(document["error"]["exit_code"], 1);
}

#[test]
fn quiet_commands_say_nothing_unless_they_fail() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["-q", "register", "alice@example.com"]).stdout, "");
    machine
        .run(&["-q", "lookup", "nobody@example.com"])
        .expect_error(1, "WSASERVICE_NOT_FOUND");
}

#[test]
fn a_state_folder_serves_one_run_at_a_time() {
    let machine = Machine::new();
    machine.run(&["providers"]).expect(0);
    let lock = std::fs::File::create(machine.folder().join("lock")).unwrap();
    lock.lock().unwrap();
    machine.run(&["providers"]).expect_error(5, "another process");
    drop(lock);
    machine.run(&["providers"]).expect(0);
}

#[test]
fn a_state_folder_that_cannot_be_one_is_reported() {
    let file = tempfile::NamedTempFile::new().unwrap();
    nsemail(&["--embedded", file.path().to_str().unwrap(), "providers"]).expect_error(5, "state folder");
}

#[test]
fn no_driver_breaks_a_rule_while_the_tool_works() {
    let machine = Machine::new();
    machine
        .run(&["--verifier", "import", "../data/names.csv"])
        .expect(0);
    machine
        .run(&["--verifier", "lookup", "alice@example.com", "--stepwise"])
        .expect(0);
    machine.run(&["--verifier", "export"]).expect(0);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = nsemail(&["completions", shell]);
        script.expect(0);
        assert!(script.stdout.contains("nsemail"));
    }
}

#[test]
fn the_demonstration_tells_the_whole_story() {
    let demo = nsemail(&["demo"]);
    demo.expect(0);
    let mut rest = demo.stdout.as_str();
    for part in [
        "load nsemail_provider.sys",
        "load nsemail_client.sys",
        "is attached",
        "alice@example.com is registered",
        "nobody@example.com: WSASERVICE_NOT_FOUND",
        "-> EvtFileClose",
        "its write to the disk is held back",
        "-> ProviderDetachClient",
        "the call is still in flight, the service is STOP_PENDING",
        "-> ProviderCleanupBindingContext",
        "nsemail_provider.sys is unloaded",
        "nsemail_client.sys is unloaded",
        "bob@example.com is still there: 192.0.2.8:5060/tcp",
        "imported 109 of 109 names",
        "Dave.Example@Example.ORG",
        "the verifier found no broken rule",
    ] {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("{part:?} is missing in {rest}"));
        rest = after;
    }
    let document: Value = serde_json::from_str(&nsemail(&["demo", "--json"]).stdout).unwrap();
    assert_eq!(document["findings"], Value::Array(Vec::new()));
    assert_eq!(document["steps"].as_array().unwrap().len(), 8);
}

#[test]
fn a_driver_that_does_not_run_is_told_apart() {
    let machine = Machine::new();
    machine.run(&["register", "alice@example.com"]).expect(0);
    let registry = machine.folder().join("registry.json");
    let enabled = std::fs::read_to_string(&registry).unwrap();
    let document: Value = serde_json::from_str(&enabled).unwrap();
    std::fs::write(&registry, with_services_disabled(document).to_string()).unwrap();
    machine
        .run(&["lookup", "alice@example.com"])
        .expect_error(4, "WSASYSNOTREADY 10091 (0x276B)");
    std::fs::write(&registry, enabled).unwrap();
    machine.run(&["lookup", "alice@example.com"]).expect(0);
}

/// The same registry with `SERVICE_DISABLED` wherever a service says how it starts.
fn with_services_disabled(mut key: Value) -> Value {
    match &mut key {
        Value::Object(members) if members.get("name").is_some_and(|name| name == "Start") => {
            members.insert("REG_DWORD".to_owned(), Value::from(4));
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                *member = with_services_disabled(member.take());
            }
        }
        Value::Array(elements) => {
            for element in elements {
                *element = with_services_disabled(element.take());
            }
        }
        _ => {}
    }
    key
}

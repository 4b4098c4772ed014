//! The INF files in `inf/` install what the drivers read.

use nsemail_contract::{
    blob::{InstallationBlob, Level},
    ids,
};
use nsemail_embedded::{CLIENT_INF, PROVIDER_INF};
use nt_sim::{
    inf::{Package, RegistryValue},
    registry::Value,
};

fn package(inf: &str) -> Package {
    Package::read(inf, "amd64", "1.31").unwrap()
}

fn value<'a>(values: &'a [RegistryValue], subkey: &str, name: &str) -> &'a Value {
    let found = values
        .iter()
        .filter(|value| value.subkey.eq_ignore_ascii_case(subkey));
    let found = found.filter_map(|value| value.value.as_ref());
    &found.into_iter().find(|(own, _)| own == name).unwrap().1
}

#[test]
fn each_package_is_a_primitive_one_with_one_service_on_demand() {
    for (inf, service, binary) in [
        (PROVIDER_INF, ids::PROVIDER_SERVICE, "nsemail_provider.sys"),
        (CLIENT_INF, ids::CLIENT_SERVICE, "nsemail_client.sys"),
    ] {
        let package = package(inf);
        assert_eq!(package.files, [binary]);
        let [entry] = package.services.as_slice() else {
            panic!("not one service")
        };
        assert_eq!((entry.name.as_str(), entry.binary.as_str()), (service, binary));
        assert!(!entry.start_now);
        assert!(inf.is_ascii());
    }
}

#[test]
fn packages_are_for_both_64_bit_architectures() {
    for inf in [PROVIDER_INF, CLIENT_INF] {
        assert!(Package::read(inf, "arm64", "1.31").is_ok());
    }
}

#[test]
fn every_seed_leaves_an_administrators_value_alone() {
    for inf in [PROVIDER_INF, CLIENT_INF] {
        for service in package(inf).services {
            assert!(
                service.registry.iter().all(|value| value.keep_existing),
                "{}",
                service.name
            );
        }
    }
}

#[test]
fn two_providers_are_seeded_with_valid_blobs_and_are_primary_for_different_domains() {
    let package = package(PROVIDER_INF);
    let values = &package.services[0].registry;
    assert_eq!(value(values, "Parameters", "Durability").as_dword(), Some(1));
    let mut seeds: Vec<&str> = values.iter().map(|value| value.subkey.as_str()).collect();
    seeds.retain(|key| key.starts_with(r"Parameters\Providers\"));
    seeds.dedup();
    assert_eq!(seeds.len(), 2);
    assert_eq!(
        seeds[0],
        format!(r"Parameters\Providers\{}", ids::DEFAULT_PROVIDER)
    );

    let claims: Vec<(bool, Vec<(String, Level)>)> = seeds
        .into_iter()
        .map(|key| {
            assert_eq!(value(values, key, "Enabled").as_dword(), Some(1));
            assert!(
                value(values, key, "Identifier")
                    .as_text()
                    .is_some_and(|text| !text.is_empty())
            );
            let blob = InstallationBlob::parse(&value(values, key, "Blob").data).unwrap();
            let domains = blob.claims().map(|claim| (claim.name.to_string(), claim.level));
            (blob.wildcard, domains.collect())
        })
        .collect();
    let domain = |name: &str, level| (name.to_owned(), level);
    assert_eq!(
        claims[0],
        (
            true,
            vec![
                domain("example.com", Level::Primary),
                domain("example.net", Level::Secondary)
            ]
        )
    );
    assert_eq!(
        claims[1],
        (
            false,
            vec![
                domain("example.net", Level::Primary),
                domain("example.com", Level::Secondary)
            ]
        )
    );
}

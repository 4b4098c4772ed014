//! Requests that no decent program sends.
//!
//! Whatever is sent, the kernel survives, nothing comes back beyond the room that there is, and what is
//! stored changes only by a change that was answered with success.

mod target;

use nsemail::{Registration, transport::Device};
use nsemail_contract::{
    CsAddr, Operation, QuerySet, SetFlags, Text, WsaCode, ioctl,
    queryset::Addresses,
    wire::{BeginReply, CounterKind, REPLY_HEADER, Reply, SetReply, SetRequest},
};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{
    kernel::{Kernel, Win32},
    program::{code, message},
};
use target::{CODES, Target};

/// Each code as it is, and each other one refused; the access that a code asks for is part of it.
pub fn an_unknown_code_is_refused(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let before = target.stored();
    for (device, known) in CODES {
        for function in 0x7F0..0x860_u32 {
            for access in 0..4_u32 {
                let code = (ioctl::DEVICE_TYPE << 16) | (access << 14) | (function << 2);
                let of_this_one = known.contains(&code);
                let of_the_other = CODES.iter().any(|(_, codes)| codes.contains(&code)) && !of_this_one;
                if ioctl::name(code).is_some() && !of_the_other {
                    continue;
                }
                for input in [
                    target.valid(ioctl::SET_SERVICE),
                    target.valid(ioctl::STATISTICS),
                    Vec::new(),
                ] {
                    let answer = target.send(device, code, &input, 4096);
                    assert_eq!(answer.result, Err(Win32::INVALID_FUNCTION), "{code:#x}");
                }
            }
        }
        for code in known {
            let other_type = code ^ (1 << 16);
            let answer = target.send(device, other_type, &target.valid(*code), 4096);
            assert_eq!(answer.result, Err(Win32::INVALID_FUNCTION), "{other_type:#x}");
        }
    }
    assert_eq!(target.stored(), before);
    target.still_works();
}

/// Too little room for a reply's header, down to none at all.
pub fn an_output_without_room_for_a_header_is_refused(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let before = target.stored();
    for (device, known) in CODES {
        for &code in known {
            for room in 0..REPLY_HEADER {
                let answer = target.send(device, code, &target.valid(code), room);
                let name = ioctl::name(code).unwrap();
                assert_eq!(
                    answer.result,
                    Err(Win32::INSUFFICIENT_BUFFER),
                    "{name} with {room} bytes"
                );
            }
        }
    }
    assert_eq!(target.stored(), before);
    assert_eq!(target.client.counted(CounterKind::LOOKUPS), 1);
    target.still_works();
}

/// Room for a header and not for all of the reply: the reply says so, and nothing has happened that
/// could not be asked for again.
pub fn an_output_with_room_for_only_a_part_loses_nothing(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let before = target.stored();
    for room in REPLY_HEADER..SetReply::SIZE {
        let answer = target.send(
            Device::Client,
            ioctl::SET_SERVICE,
            &target.valid(ioctl::SET_SERVICE),
            room,
        );
        assert_eq!(code(&answer), WsaCode::WSAEFAULT, "{room}");
    }
    assert_eq!(target.stored(), before);
    for room in REPLY_HEADER..BeginReply::SIZE {
        let answer = target.send(
            Device::Client,
            ioctl::LOOKUP_BEGIN,
            &target.valid(ioctl::LOOKUP_BEGIN),
            room,
        );
        assert_eq!(code(&answer), WsaCode::WSAEFAULT, "{room}");
    }
    assert_eq!(
        target.client.counted(CounterKind::LOOKUPS),
        1,
        "a look-up is open that nobody knows"
    );
    for (device, request) in [
        (Device::Client, ioctl::LOOKUP_NEXT),
        (Device::Client, ioctl::PROVIDERS),
        (Device::Client, ioctl::STATISTICS),
        (Device::Provider, ioctl::HOSTED),
        (Device::Provider, ioctl::STATISTICS),
    ] {
        let input = target.valid(request);
        let probe = target.send(device, request, &input, REPLY_HEADER);
        assert_eq!(code(&probe), WsaCode::WSAEFAULT);
        let needed = Reply::parse(&probe.bytes).unwrap().needed;
        for room in (REPLY_HEADER..needed).step_by(7) {
            assert_eq!(
                code(&target.send(device, request, &input, room)),
                WsaCode::WSAEFAULT
            );
        }
        // Counters of these very calls may have been added since.
        let whole = target.send(device, request, &input, needed + 256);
        assert_eq!(code(&whole), WsaCode::NO_ERROR);
    }
    target.still_works();
}

/// Every message cut off at every place, and every message with something after its end.
pub fn every_truncation_of_each_message_is_refused(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let before = target.stored();
    for (device, known) in CODES {
        for &code in known {
            let name = ioctl::name(code).unwrap();
            let valid = target.valid(code);
            for length in 0..valid.len() {
                let answer = target.send(device, code, &valid[..length], 4096);
                assert_eq!(
                    answer.result,
                    Err(Win32::INVALID_PARAMETER),
                    "{name} cut to {length}"
                );
            }
            for more in 1..=16 {
                let mut longer = valid.clone();
                longer.resize(valid.len() + more, 0);
                let answer = target.send(device, code, &longer, 4096);
                assert_eq!(answer.result, Err(Win32::INVALID_PARAMETER), "{name} and {more}");
            }
        }
    }
    assert_eq!(target.stored(), before);
    target.still_works();
}

/// Every number of every message (sizes, offsets, lengths, counts, flags) set to every value that parsers
/// stumble over.
pub fn every_number_of_each_message_takes_every_awkward_value(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    for (device, known) in CODES {
        for &code in known {
            let valid = target.valid(code);
            let length = valid.len() as u64;
            let awkward = [
                0,
                1,
                7,
                8,
                length - 8,
                length,
                length + 1,
                0x7FFF_FFFF,
                0x8000_0000,
                0xFFFF_FFF8,
                0xFFFF_FFFF,
                i64::MAX.cast_unsigned(),
                u64::MAX - 7,
                u64::MAX,
            ];
            for at in (0..valid.len()).step_by(4) {
                for value in awkward {
                    let bytes = value.to_le_bytes();
                    let width = if at % 8 == 0 && value > u64::from(u32::MAX) {
                        8
                    } else {
                        4
                    };
                    let mut mutated = valid.clone();
                    mutated[at..(at + width).min(valid.len())]
                        .copy_from_slice(&bytes[..width.min(valid.len() - at)]);
                    target.try_out(device, code, &mutated, 4096);
                }
            }
        }
        // Some of these were in order, and opened look-ups.
        target.client.client().end_session().unwrap();
    }
    target.still_works();
}

/// Messages with some bytes changed at random.
pub fn damaged_messages_do_no_harm(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let damage = vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8);
    sent_at_random(
        600,
        (requests(), damage, 0..700_usize),
        |((device, code), damage, room)| {
            let mut input = target.valid(code);
            for (at, byte) in damage {
                let at = at.index(input.len());
                input[at] = byte;
            }
            target.try_out(device, code, &input, room);
            if code == ioctl::LOOKUP_BEGIN {
                target.client.client().end_session().unwrap();
            }
        },
    );
    target.still_works();
}

/// Messages that are nothing but noise, with a header that fits or without.
pub fn noise_does_no_harm(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let noise = (vec(any::<u8>(), 0..400), any::<bool>(), 0..700_usize);
    sent_at_random(
        600,
        (requests(), noise),
        |((device, code), (mut input, framed, room))| {
            if framed && input.len() >= 8 {
                input.truncate(input.len() / 8 * 8);
                let size = u32::try_from(input.len()).unwrap();
                input[..4].copy_from_slice(&size.to_le_bytes());
                input[4..8].copy_from_slice(&1_u32.to_le_bytes());
            }
            target.try_out(device, code, &input, room);
        },
    );
    target.still_works();
}

/// Names, addresses and attributes that break the rules of the namespace are answered with its codes, and
/// change nothing.
pub fn a_well_formed_request_for_nonsense_is_answered_with_a_code(kernel: &dyn Kernel) {
    let target = Target::new(kernel);
    let before = target.stored();
    let set = |operation: u32, flags: u32, change: &dyn Fn(&mut QuerySet<'_>)| {
        let mut registration = QuerySet {
            name: Some(Text::from_str("erin@example.com").unwrap()),
            ..QuerySet::default()
        };
        change(&mut registration);
        let request = SetRequest {
            operation,
            flags,
            registration,
        };
        let input = message(|out| request.write(out));
        code(&target.send(Device::Client, ioctl::SET_SERVICE, &input, SetReply::SIZE))
    };
    assert_eq!(
        set(3, 0, &|_| {}),
        WsaCode::WSAEOPNOTSUPP,
        "decision 26: an unknown operation"
    );
    assert_eq!(
        set(0, 2, &|_| {}),
        WsaCode::WSAEINVAL,
        "decision 27: an unknown flag"
    );
    assert_eq!(
        set(0, 0, &|it| it.namespace = 12),
        WsaCode::WSAEINVAL,
        "decision 30: another namespace"
    );
    assert_eq!(set(0, 0, &|it| it.name = None), WsaCode::WSAEINVAL, "no name");
    for name in [
        "",
        "@",
        "erin",
        "erin@",
        "@example.com",
        "er in@example.com",
        "erin@exa mple.com",
    ] {
        let registration = Registration {
            name: name.to_owned(),
            ..Registration::default()
        };
        let input = crate::program::change(Operation::Register, SetFlags::empty(), &registration);
        let answer = target.send(Device::Client, ioctl::SET_SERVICE, &input, SetReply::SIZE);
        assert_eq!(code(&answer), WsaCode::WSAEINVAL, "{name:?}");
    }
    for remote in [&[2_u8, 0, 20][..], &[2, 0, 20, 0, 192, 0, 2], &[0; 129]] {
        let address = [CsAddr {
            local: &[],
            remote,
            socket_type: 1,
            protocol: 6,
        }];
        let registration = QuerySet {
            name: Some(Text::from_str("erin@example.com").unwrap()),
            addresses: Addresses::new(&address),
            ..QuerySet::default()
        };
        let request = SetRequest {
            operation: 0,
            flags: 0,
            registration,
        };
        let input = message(|out| request.write(out));
        let answer = target.send(Device::Client, ioctl::SET_SERVICE, &input, SetReply::SIZE);
        let refused = answer.result == Err(Win32::INVALID_PARAMETER)
            || (answer.result.is_ok() && code(&answer) == WsaCode::WSAEINVAL);
        assert!(
            refused,
            "decision 15: {} bytes of socket address: {answer:?}",
            remote.len()
        );
    }
    assert_eq!(target.stored(), before);
    target.still_works();
}

/// Any request of any device.
fn requests() -> impl Strategy<Value = (Device, u32)> {
    let all: Vec<(Device, u32)> = CODES
        .into_iter()
        .flat_map(|(device, codes)| codes.iter().map(move |code| (device, *code)))
        .collect();
    select(all)
}

/// Runs `send` with that many random values, and shows the simplest one that fails.
fn sent_at_random<S: Strategy>(cases: u32, strategy: S, send: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&strategy, |value| {
        send(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

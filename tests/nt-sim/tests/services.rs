//! Small services: random numbers, debugger output, strings, handles, the timeline.

use std::sync::{Arc, Mutex};

use nt_sim::{
    DriverName, KPROCESSOR_MODE, Machine, Rule, STATUS_INVALID_HANDLE, STATUS_SUCCESS, UNICODE_STRING,
    frames,
    ntddk::{
        DbgPrint, ObReferenceObjectByHandle, ObfDereferenceObject, RtlCompareUnicodeString,
        RtlInitUnicodeString, RtlUpcaseUnicodeChar,
    },
    random::BCryptGenRandom,
    trace::{Event, Kind},
};

const KERNEL_MODE: KPROCESSOR_MODE = 0;

fn run<R>(machine: &Machine, body: impl FnOnce() -> R) -> R {
    let entered = machine.enter();
    let result = frames::callback(&DriverName::new("test.sys"), "EvtTest", body);
    drop(entered);
    result
}

fn random_bytes(machine: &Machine) -> [u8; 21] {
    let mut bytes = [0; 21];
    let status = run(machine, || {
        // SAFETY: the buffer has this length.
        unsafe { BCryptGenRandom(core::ptr::null_mut(), bytes.as_mut_ptr(), 21, 2) }
    });
    assert_eq!(status, STATUS_SUCCESS);
    bytes
}

#[test]
fn random_numbers_repeat_only_with_the_same_seed() {
    let seeded = |seed| {
        Machine::builder()
            .seed(seed)
            .build()
            .expect("a machine in memory")
    };
    let unseeded = || Machine::builder().build().expect("a machine in memory");
    let first = seeded(1);
    assert_eq!(random_bytes(&first), random_bytes(&seeded(1)));
    assert_ne!(
        random_bytes(&first),
        random_bytes(&seeded(1)),
        "the next ones differ"
    );
    assert_ne!(random_bytes(&seeded(1)), random_bytes(&seeded(2)));
    assert_ne!(random_bytes(&unseeded()), random_bytes(&unseeded()));
}

#[test]
fn the_timeline_keeps_the_latest_events_in_order_with_thread_and_driver() {
    let machine = Machine::builder()
        .trace_capacity(4)
        .build()
        .expect("a machine in memory");
    let seen = Arc::new(Mutex::new(Vec::<Event>::new()));
    let subscriber = Arc::clone(&seen);
    machine.trace().subscribe(Arc::new(move |event: &Event| {
        subscriber.lock().expect("no panic before").push(event.clone());
    }));
    run(&machine, || {
        for text in [c"one\n", c"two\nthree\n", c"four\n"] {
            // SAFETY: both are strings that end with a zero.
            unsafe { DbgPrint(c"%s".as_ptr(), text.as_ptr()) };
        }
    });
    let kept = machine.trace().events();
    let seen = seen.lock().expect("no panic before").clone();
    assert_eq!(kept, seen[2..], "the bound drops the oldest");
    let sequence: Vec<u64> = seen.iter().map(|event| event.sequence).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5, 6]);
    let Kind::Debug { text } = &kept[0].kind else {
        panic!("not debugger output: {}", kept[0]);
    };
    assert_eq!(text, "two");
    assert_eq!(kept[0].driver, Some(DriverName::new("TEST.SYS")));
    assert!(kept[0].thread.is_some());
}

#[test]
fn strings_compare_by_one_to_one_upcasing() {
    let machine = Machine::builder().build().expect("a machine in memory");
    run(&machine, || {
        let upcase = |unit| {
            // SAFETY: has no conditions.
            unsafe { RtlUpcaseUnicodeChar(unit) }
        };
        for (lower, upper) in [('a', 'A'), ('ä', 'Ä'), ('ÿ', 'Ÿ'), ('ß', 'ß'), ('1', '1')] {
            assert_eq!(u32::from(upcase(lower as u16)), u32::from(upper));
        }
        assert_eq!(upcase(0xD800), 0xD800, "half a surrogate pair stays as it is");

        let [a, b] = ["Parameters\0", "PARAMETERS\0"].map(|text| text.encode_utf16().collect::<Vec<_>>());
        let [a, b] = [&a, &b].map(|units| {
            let mut string = UNICODE_STRING::default();
            // SAFETY: the units end with a zero and outlive the string.
            unsafe { RtlInitUnicodeString(&raw mut string, units.as_ptr()) };
            string
        });
        assert_eq!(a.Length, 20);
        // SAFETY: both strings are valid.
        let without_case = unsafe { RtlCompareUnicodeString(&raw const a, &raw const b, 1) };
        // SAFETY: as above.
        let with_case = unsafe { RtlCompareUnicodeString(&raw const a, &raw const b, 0) };
        assert_eq!(without_case, 0);
        assert!(with_case > 0);
    });
    machine.shutdown().assert_clean();
}

#[test]
fn handles_and_pointers_to_nothing_are_reported() {
    let machine = Machine::builder().build().expect("a machine in memory");
    run(&machine, || {
        let mut object = core::ptr::null_mut();
        // SAFETY: the out parameter is ours; the handle is wrong on purpose.
        let status = unsafe {
            ObReferenceObjectByHandle(
                core::ptr::without_provenance_mut(0x44),
                0,
                core::ptr::null_mut(),
                KERNEL_MODE,
                &raw mut object,
                core::ptr::null_mut(),
            )
        };
        assert_eq!(status, STATUS_INVALID_HANDLE);
        // SAFETY: wrong on purpose; the pointer is only compared.
        unsafe { ObfDereferenceObject((&raw mut object).cast()) };
    });
    let rules: Vec<Rule> = machine.report().iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::BadHandle, Rule::BadObject]);
}
